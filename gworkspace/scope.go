package gworkspace

import (
	"fmt"
	"strings"
)

// The scopes that the package asks for, each in a request of its own.
const (
	ScopePolicies = "https://www.googleapis.com/auth/cloud-identity.policies.readonly"
	ScopeAudit    = "https://www.googleapis.com/auth/admin.reports.audit.readonly"
	ScopeDomains  = "https://www.googleapis.com/auth/admin.directory.domain.readonly"
	ScopeUnits    = "https://www.googleapis.com/auth/admin.directory.orgunit.readonly"
	ScopeUsers    = "https://www.googleapis.com/auth/admin.directory.user.readonly"
	ScopeGroups   = "https://www.googleapis.com/auth/admin.directory.group.readonly"
	ScopeModify   = "https://www.googleapis.com/auth/gmail.modify" // find, trash and label mail
	ScopePurge    = "https://mail.google.com/"                     // delete mail for good
)

// readScopes are what checks need.
var readScopes = []string{ScopePolicies, ScopeAudit, ScopeDomains, ScopeUnits, ScopeUsers, ScopeGroups}

// directoryScopes tell whose mailbox an address is.
var directoryScopes = []string{ScopeUsers, ScopeGroups}

// scopes are what remediation needs where one client does all of it.
func (r *Remediator) scopes() []string {
	out := append([]string{ScopeModify}, directoryScopes...)
	if r.Purge {
		out = append(out, ScopePurge)
	}
	return out
}

// mailScopes are those that a mailbox needs.
func (r *Remediator) mailScopes() []string {
	if r.Purge {
		return []string{ScopeModify, ScopePurge}
	}
	return []string{ScopeModify}
}

// A ScopeError says which scopes a delegation lacks. Its cause is [ErrScope].
type ScopeError struct {
	Client  string   // the service account, or empty
	Subject string   // the user it acted as
	Missing []string // the scopes, as they have to be pasted
}

// Error says what to paste where.
func (e *ScopeError) Error() string {
	who := e.Client
	if who == "" {
		who = "the service account"
	}
	return fmt.Sprintf("gworkspace: %s may not act as %s with the scope %s: add exactly this text to the scopes of its client under %s (%s); a wider scope does not count, and it takes up to 24 hours",
		who, e.Subject, strings.Join(e.Missing, " and "), pathDelegation, linkDelegation)
}

// Unwrap makes errors.Is find ErrScope.
func (e *ScopeError) Unwrap() error { return ErrScope }
