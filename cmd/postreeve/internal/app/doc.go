// Package app is the command line of postreeve: one file for each command, which wires the packages of
// the module together, and what the commands share.
//
//	Run ── kong ── tryCmd, serveCmd, checkCmd, scanCmd, versionCmd
//	                   └──────┴── setup: engine, directory and next hops of one configuration
//
// Whatever comes from a message or a network is escaped before it is printed.
package app
