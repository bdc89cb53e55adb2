package m365

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"
)

// BrowserSignIn returns a source for a person who signs in with a browser on this machine: authorization code
// with PKCE (RFC 7636) and a reply to a port of the loopback interface (RFC 8252 section 7.3). open is given
// the address to be opened, or shown; it must return at once. The application must allow http://localhost as
// a redirect address of a public client.
func BrowserSignIn(cfg AuthConfig, open func(address string) error) (TokenSource, error) {
	if open == nil {
		return nil, errors.New("m365: a sign-in page that is opened by nobody")
	}
	s, err := newSigner(cfg, true)
	if err != nil {
		return nil, err
	}
	s.grant = func(ctx context.Context, req TokenRequest) (tokenReply, error) { return s.browser(ctx, req, open) }
	return s, nil
}

// signInTime is how long somebody may take at the browser.
const signInTime = 10 * time.Minute

// callback is what the browser brought back.
type callback struct {
	code string
	err  error
}

func (s *signer) browser(ctx context.Context, req TokenRequest, open func(string) error) (tokenReply, error) {
	ctx, cancel := context.WithTimeout(ctx, signInTime)
	defer cancel()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return tokenReply{}, fmt.Errorf("m365: sign-in: %w", err)
	}
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	done := make(chan callback, 1)
	srv := &http.Server{Handler: redirectHandler(state, done), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ln) // ends with Shutdown below
	}()
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(stop) != nil {
			_ = srv.Close()
		}
		<-ended
	}()

	back := "http://localhost:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	conf := oauth2.Config{ClientID: s.cfg.ClientID, RedirectURL: back, Scopes: []string{s.scopes(req.Scope)},
		Endpoint: oauth2.Endpoint{AuthURL: s.endpoint("authorize")}}
	opts := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "select_account")}
	if req.Claims != "" {
		opts = append(opts, oauth2.SetAuthURLParam("claims", req.Claims))
	}
	if err := open(conf.AuthCodeURL(state, opts...)); err != nil {
		return tokenReply{}, fmt.Errorf("m365: sign-in: the browser did not open: %w", err)
	}
	select {
	case <-ctx.Done():
		return tokenReply{}, fmt.Errorf("m365: nobody signed in at the browser: %w", ctx.Err())
	case cb := <-done:
		if cb.err != nil {
			return tokenReply{}, cb.err
		}
		return s.post(ctx, url.Values{"grant_type": {"authorization_code"}, "code": {cb.code}, "code_verifier": {verifier}, "redirect_uri": {back}}, req)
	}
}

// redirectHandler takes the first reply that has our state; whatever else comes to the port is ignored.
func redirectHandler(state string, done chan<- callback) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.Error(w, "This is not the sign-in that was started here.", http.StatusBadRequest)
			return
		}
		cb := callback{code: q.Get("code")}
		switch {
		case q.Get("error") != "":
			cb.err = newAuthError(tokenReply{Error: q.Get("error"), Description: q.Get("error_description")}, 0)
		case cb.code == "":
			cb.err = errors.New("m365: sign-in: the browser came back without a code")
		}
		select {
		case done <- cb:
		default:
		}
		if cb.err != nil {
			fmt.Fprintln(w, "The sign-in did not work. You can close this page; the program says why.")
			return
		}
		fmt.Fprintln(w, "You are signed in. You can close this page.")
	})
}
