package m365

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The applications that offer the permissions we ask for.
const (
	graphAppID    = "00000003-0000-0000-c000-000000000000"
	exchangeAppID = "00000002-0000-0ff1-ce00-000000000000"
)

// RemediationPermissions are the application permissions that taking back mail needs: find, move and delete
// in mailboxes, and resolve addresses and groups.
func RemediationPermissions() []string {
	return []string{"Mail.ReadWrite", "User.Read.All", "GroupMember.Read.All"}
}

// An App is what a tenant has granted to an application.
type App struct {
	ID        string      // of the service principal; empty: the tenant does not know the application
	AppID     string      // the client id
	Name      string      // as shown to admins
	Enabled   bool        // may sign in
	Grants    []AppGrant  // application permissions
	Delegated []Delegated // permissions on behalf of users
}

// An AppGrant is one application permission. Permission is its name when the service that offers it is
// Microsoft Graph or Exchange, else its id.
type AppGrant struct {
	ID         string
	Resource   string // the service, by name
	Permission string
}

// A Delegated is a grant to act on behalf of users.
type Delegated struct {
	ID    string
	Scope string // names of permissions, separated by spaces
}

// Has says whether all the permissions are granted.
func (a App) Has(permissions ...string) bool {
	for _, p := range permissions {
		if !slices.ContainsFunc(a.Grants, func(g AppGrant) bool { return g.Permission == p }) {
			return false
		}
	}
	return true
}

type servicePrincipal struct {
	ID             string `json:"id"`
	AppID          string `json:"appId"`
	DisplayName    string `json:"displayName"`
	AccountEnabled *bool  `json:"accountEnabled"`
	AppRoles       []struct {
		ID    string `json:"id"`
		Value string `json:"value"`
	} `json:"appRoles"`
}

func (g *Graph) principal(ctx context.Context, appID string) (servicePrincipal, error) {
	var sp servicePrincipal
	if !isGUID(appID) {
		return sp, &Error{Cmdlet: "GET /servicePrincipals", Object: oneLine(appID, 60), Kind: ErrInvalid, Message: "the id of an application is a GUID"}
	}
	err := g.send(ctx, http.MethodGet, "/servicePrincipals(appId='"+appID+"')?$select=id,appId,displayName,accountEnabled,appRoles", nil, &sp, true)
	return sp, err
}

// App returns what the tenant has granted to the application. One that the tenant does not know is an App
// without an ID, and no error.
func (g *Graph) App(ctx context.Context, appID string) (App, error) {
	sp, err := g.principal(ctx, appID)
	if errors.Is(err, ErrNotFound) {
		return App{AppID: appID}, nil
	}
	if err != nil {
		return App{}, err
	}
	a := App{ID: sp.ID, AppID: appID, Name: sp.DisplayName, Enabled: sp.AccountEnabled == nil || *sp.AccountEnabled}
	type assignment struct{ ID, AppRoleID, ResourceID, ResourceDisplayName string }
	all, err := graphAll[assignment](ctx, g, "/servicePrincipals/"+url.PathEscape(sp.ID)+"/appRoleAssignments")
	if err != nil {
		return App{}, err
	}
	names, err := g.roleNames(ctx)
	if err != nil {
		return App{}, err
	}
	for _, x := range all {
		a.Grants = append(a.Grants, AppGrant{ID: x.ID, Resource: x.ResourceDisplayName, Permission: first(names[x.AppRoleID], x.AppRoleID)})
	}
	type scope struct{ ID, Scope string }
	scopes, err := graphAll[scope](ctx, g, "/servicePrincipals/"+url.PathEscape(sp.ID)+"/oauth2PermissionGrants")
	if err != nil {
		return App{}, err
	}
	for _, x := range scopes {
		a.Delegated = append(a.Delegated, Delegated{ID: x.ID, Scope: strings.TrimSpace(x.Scope)})
	}
	return a, nil
}

// roleNames are the names of the permissions that Graph and Exchange offer, by id.
func (g *Graph) roleNames(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, id := range []string{graphAppID, exchangeAppID} {
		sp, err := g.principal(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		for _, r := range sp.AppRoles {
			out[r.ID] = r.Value
		}
	}
	return out, nil
}

// Consented says whether the application may take back mail: known, enabled and with the permission to write
// in mailboxes.
func (g *Graph) Consented(ctx context.Context, appID string) (bool, error) {
	a, err := g.App(ctx, appID)
	return err == nil && a.ID != "" && a.Enabled && a.Has("Mail.ReadWrite"), err
}

// Grant gives the application permissions of Microsoft Graph without a person at a consent page, and makes
// the tenant know it if it does not. Whoever signed in must be a Privileged Role Administrator, or an
// application with AppRoleAssignment.ReadWrite.All. What is granted already stays.
func (g *Graph) Grant(ctx context.Context, appID string, permissions ...string) (App, error) {
	graph, err := g.principal(ctx, graphAppID)
	if err != nil {
		return App{}, err
	}
	ids := make([]string, len(permissions))
	for i, p := range permissions {
		for _, r := range graph.AppRoles {
			if r.Value == p {
				ids[i] = r.ID
			}
		}
		if ids[i] == "" {
			return App{}, &Error{Cmdlet: "grant", Object: p, Kind: ErrNotFound, Message: "Microsoft Graph has no such application permission"}
		}
	}
	a, err := g.App(ctx, appID)
	if err != nil {
		return App{}, err
	}
	if a.ID == "" {
		var sp servicePrincipal
		err := g.send(ctx, http.MethodPost, "/servicePrincipals", map[string]string{"appId": appID}, &sp, false)
		if errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrExists) {
			sp, err = g.principal(ctx, appID)
		}
		if err != nil {
			return App{}, err
		}
		a.ID = sp.ID
	}
	for i, p := range permissions {
		if a.Has(p) {
			continue
		}
		err := g.send(ctx, http.MethodPost, "/servicePrincipals/"+url.PathEscape(a.ID)+"/appRoleAssignments",
			map[string]string{"principalId": a.ID, "resourceId": graph.ID, "appRoleId": ids[i]}, nil, false)
		if err != nil && !errors.Is(err, ErrExists) && !errors.Is(err, ErrAmbiguous) {
			return App{}, err
		}
	}
	a, err = g.App(ctx, appID)
	if err == nil && !a.Has(permissions...) {
		err = &Error{Cmdlet: "grant", Object: appID, Kind: ErrAmbiguous, Message: "not all permissions show yet: ask again in a minute"}
	}
	return a, err
}

// RevokeGrants takes back the permissions of the application and leaves the application itself, so that it
// can be granted again. One that is not there is no error.
func (g *Graph) RevokeGrants(ctx context.Context, appID string) error {
	a, err := g.App(ctx, appID)
	if err != nil || a.ID == "" {
		return err
	}
	var errs []error
	drop := func(path string) {
		if err := g.send(ctx, http.MethodDelete, path, nil, nil, true); err != nil && !errors.Is(err, ErrNotFound) {
			errs = append(errs, err)
		}
	}
	for _, x := range a.Grants {
		drop("/servicePrincipals/" + url.PathEscape(a.ID) + "/appRoleAssignments/" + url.PathEscape(x.ID))
	}
	for _, x := range a.Delegated {
		drop("/oauth2PermissionGrants/" + url.PathEscape(x.ID))
	}
	return errors.Join(errs...)
}

// Revoke removes the application from the tenant with all its grants. Microsoft keeps it for 30 days, in
// which an admin can bring it back. One that is not there is no error.
func (g *Graph) Revoke(ctx context.Context, appID string) error {
	sp, err := g.principal(ctx, appID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if sp.AppID != "" && !strings.EqualFold(sp.AppID, appID) {
		return &Error{Cmdlet: "DELETE /servicePrincipals", Object: appID, Message: "Graph answered with another application"}
	}
	err = g.send(ctx, http.MethodDelete, "/servicePrincipals/"+url.PathEscape(sp.ID), nil, nil, true)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// ConsentURL is the page where an admin grants the application what it asks for. Microsoft sends the browser
// back to redirect with the state, which must be hard to guess and bound to the session: [ConsentReply]
// checks it.
func ConsentURL(cfg AuthConfig, redirect, state string) (string, error) {
	s, err := newSigner(cfg, false)
	if err != nil {
		return "", err
	}
	back, err := url.Parse(redirect)
	if err != nil || back.Host == "" || len(state) < 16 {
		return "", errors.New("m365: consent needs a redirect address and a state of 16 characters at least")
	}
	u := s.base.JoinPath(s.cfg.Tenant, "v2.0", "adminconsent")
	u.RawQuery = url.Values{"client_id": {s.cfg.ClientID}, "scope": {s.cfg.Cloud.GraphScope()}, "redirect_uri": {redirect}, "state": {state}}.Encode()
	return u.String(), nil
}

// ConsentReply reads what the consent page sent back. The tenant it returns is a claim of the browser: it is
// proven when a token for that tenant is obtained.
func ConsentReply(query url.Values, state string) (tenant string, err error) {
	if state == "" || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
		return "", errors.New("m365: consent: the reply is not for the request that was made here")
	}
	if e := query.Get("error"); e != "" {
		return "", newAuthError(tokenReply{Error: e, Description: query.Get("error_description")}, 0)
	}
	tenant = query.Get("tenant")
	if !strings.EqualFold(query.Get("admin_consent"), "true") || !isGUID(tenant) {
		return "", fmt.Errorf("m365: consent was not given")
	}
	return strings.ToLower(tenant), nil
}
