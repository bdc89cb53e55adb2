// Package config reads the configuration file of the gateway: YAML with few, typed settings.
//
// A file is judged as a whole: every unknown key, wrong type, impossible value and impossible combination
// is reported with file, line and column, and with the nearest valid key. Nothing but the file is looked at:
// whether certificates can be read and next hops answer is for whoever wires the gateway.
//
// Secrets are references to files or environment variables; their values are not part of a Config.
package config
