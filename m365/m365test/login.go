package m365test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// flow is a sign-in that is under way, or a refresh token.
type flow struct {
	kind      string // device, code, refresh
	client    string
	scope     string
	redirect  string
	challenge string
	claims    bool
	polls     int
	approved  bool
	denied    bool
}

// Approve approves or refuses the sign-in with this user code, as the person would on the page. Without it
// a device code is approved after Config.DevicePolls polls.
func (s *Server) Approve(userCode string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flows[userCode]; f != nil {
		f.approved, f.denied = yes, !yes
	}
}

// login serves the sign-in service.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/login/"), "/", 2)
	if len(parts) != 2 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	tenant, op := parts[0], parts[1]
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.ours(tenant) || tenant == "organizations" || tenant == "common"
	s.calls = append(s.calls, Call{Cmdlet: "login " + op})
	if f := s.strike("login "+op, 0); f != nil {
		if f.Then != nil {
			f.Then()
		}
		if s.fail(w, r, f) {
			return
		}
	}
	switch {
	case !known:
		refuse(w, "invalid_request", "AADSTS90002: Tenant '"+tenant+"' not found.")
	case op == "v2.0/.well-known/openid-configuration":
		base := s.LoginURL() + "/" + s.cfg.TenantID
		writeJSON(w, http.StatusOK, map[string]any{"issuer": base + "/v2.0", "token_endpoint": base + "/oauth2/v2.0/token",
			"authorization_endpoint": base + "/oauth2/v2.0/authorize", "device_authorization_endpoint": base + "/oauth2/v2.0/devicecode"})
	case op == "oauth2/v2.0/devicecode" && r.Method == http.MethodPost:
		s.deviceCode(w, r)
	case op == "oauth2/v2.0/authorize" && r.Method == http.MethodGet:
		s.authorize(w, r)
	case op == "oauth2/v2.0/token" && r.Method == http.MethodPost:
		s.token(w, r, tenant)
	case op == "v2.0/adminconsent" && r.Method == http.MethodGet:
		s.adminConsent(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func refuse(w http.ResponseWriter, code, text string) {
	status := http.StatusBadRequest
	if code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	writeJSON(w, status, map[string]any{"error": code, "error_description": text + "\r\nTrace ID: 1\r\nCorrelation ID: 2", "correlation_id": "2"})
}

func (s *Server) rightClient(w http.ResponseWriter, id string) bool {
	if id != "" && (s.cfg.ClientID == "" || id == s.cfg.ClientID) {
		return true
	}
	refuse(w, "unauthorized_client", "AADSTS700016: Application with identifier '"+id+"' was not found in the directory.")
	return false
}

func (s *Server) deviceCode(w http.ResponseWriter, r *http.Request) {
	id, scope := r.PostFormValue("client_id"), r.PostFormValue("scope")
	if !s.rightClient(w, id) {
		return
	}
	if _, ok := audienceOf(scope); !ok {
		refuse(w, "invalid_scope", "AADSTS70011: The provided value for the input parameter 'scope' is not valid.")
		return
	}
	code, user := "dev-"+s.guid(), fmt.Sprintf("USER%04d", len(s.flows))
	f := &flow{kind: "device", client: id, scope: scope, claims: r.PostFormValue("claims") == challengeClaims}
	s.flows[code], s.flows[user] = f, f
	writeJSON(w, http.StatusOK, map[string]any{"device_code": code, "user_code": user, "verification_uri": "https://microsoft.com/devicelogin",
		"interval": 5, "expires_in": 900, "message": "To sign in, use a web browser."})
}

// authorize signs the admin in without asking and sends the browser back.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !s.rightClient(w, q.Get("client_id")) {
		return
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || back.Hostname() != "localhost" && back.Hostname() != "127.0.0.1" {
		refuse(w, "invalid_request", "AADSTS50011: The redirect URI specified in the request does not match.")
		return
	}
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("state") == "" {
		s.abuse("a sign-in without PKCE or state")
	}
	code := "code-" + s.guid()
	s.flows[code] = &flow{kind: "code", client: q.Get("client_id"), scope: q.Get("scope"), redirect: q.Get("redirect_uri"),
		challenge: q.Get("code_challenge"), approved: true, claims: q.Get("claims") == challengeClaims}
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}, "session_state": {"x"}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// adminConsent grants the application what it asks for and sends the browser back.
func (s *Server) adminConsent(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("redirect_uri") == "" {
		refuse(w, "invalid_request", "AADSTS50011: no redirect URI")
		return
	}
	s.consent(q.Get("client_id"))
	back.RawQuery = url.Values{"admin_consent": {"True"}, "tenant": {s.cfg.TenantID}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token answers every grant.
func (s *Server) token(w http.ResponseWriter, r *http.Request, tenant string) {
	id := r.PostFormValue("client_id")
	if !s.rightClient(w, id) {
		return
	}
	claims := r.PostFormValue("claims") == challengeClaims
	switch grant := r.PostFormValue("grant_type"); grant {
	case "client_credentials":
		s.clientCredentials(w, r, tenant, claims)
	case "urn:ietf:params:oauth:grant-type:device_code":
		s.devicePoll(w, s.flows[r.PostFormValue("device_code")], id)
	case "authorization_code":
		code := r.PostFormValue("code")
		f := s.flows[code]
		delete(s.flows, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		switch {
		case f == nil || f.kind != "code" || f.client != id || f.redirect != r.PostFormValue("redirect_uri"):
			refuse(w, "invalid_grant", "AADSTS70000: The provided authorization code is not valid.")
		case f.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
			refuse(w, "invalid_grant", "AADSTS501481: The Code_Verifier does not match the code_challenge.")
		default:
			s.grant(w, f.scope, id, f.claims || claims)
		}
	case "refresh_token":
		rt := r.PostFormValue("refresh_token")
		f := s.flows[rt]
		if f == nil || f.kind != "refresh" || f.client != id {
			refuse(w, "invalid_grant", "AADSTS70008: The provided refresh token has expired.")
			return
		}
		delete(s.flows, rt)
		s.grant(w, first(r.PostFormValue("scope"), f.scope), id, claims)
	default:
		refuse(w, "unsupported_grant_type", "AADSTS70003: unsupported grant type '"+grant+"'.")
	}
}

func first(all ...string) string {
	i := slices.IndexFunc(all, func(s string) bool { return s != "" })
	if i < 0 {
		return ""
	}
	return all[i]
}

func (s *Server) devicePoll(w http.ResponseWriter, f *flow, id string) {
	switch {
	case f == nil || f.kind != "device" || f.client != id:
		refuse(w, "expired_token", "AADSTS70020: The device code has expired.")
	case s.cfg.BlockDevice:
		refuse(w, "invalid_grant", "AADSTS53003: Access has been blocked by Conditional Access policies.")
	case f.denied:
		refuse(w, "authorization_declined", "AADSTS70018: The end user denied the authorization request.")
	case !f.approved && f.polls < s.cfg.DevicePolls:
		f.polls++
		refuse(w, map[bool]string{true: "slow_down", false: "authorization_pending"}[f.polls == 2], "AADSTS70016: Pending end-user authorization.")
	default:
		s.grant(w, f.scope, id, f.claims)
	}
}

// grant hands out tokens. A refresh token is good once.
func (s *Server) grant(w http.ResponseWriter, scope, client string, claims bool) {
	aud, ok := audienceOf(scope)
	if !ok {
		refuse(w, "invalid_scope", "AADSTS70011: The provided value for the input parameter 'scope' is not valid.")
		return
	}
	out := map[string]any{"token_type": "Bearer", "expires_in": s.cfg.TokenSeconds, "scope": scope, "access_token": s.mint(aud, claims)}
	if strings.Contains(scope, "offline_access") {
		rt := "refresh-" + s.guid()
		s.flows[rt] = &flow{kind: "refresh", client: client, scope: scope}
		out["refresh_token"] = rt
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Server) clientCredentials(w http.ResponseWriter, r *http.Request, tenant string, claims bool) {
	scope := r.PostFormValue("scope")
	if tenant == "organizations" || tenant == "common" {
		refuse(w, "invalid_request", "AADSTS50059: No tenant-identifying information found.")
		return
	}
	if assertion := r.PostFormValue("client_assertion"); assertion != "" {
		if r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			refuse(w, "invalid_request", "AADSTS50027: wrong client_assertion_type")
			return
		}
		if err := s.checkAssertion(assertion, r.PostFormValue("client_id"), s.LoginURL()+"/"+tenant+"/oauth2/v2.0/token", time.Now()); err != nil {
			refuse(w, "invalid_client", "AADSTS700027: "+err.Error())
			return
		}
	} else if s.cfg.Secret == "" || r.PostFormValue("client_secret") != s.cfg.Secret {
		refuse(w, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
		return
	}
	if !strings.HasSuffix(scope, "/.default") {
		refuse(w, "invalid_scope", "AADSTS1002012: scope must end in /.default")
		return
	}
	s.grant(w, scope, r.PostFormValue("client_id"), claims)
}
