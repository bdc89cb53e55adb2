package m365

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// A DevicePrompt is what a person has to do to sign in by device code.
type DevicePrompt struct {
	URL     string // to be opened in any browser, on any machine
	Code    string // to be entered there
	Expires time.Time
}

// String is the prompt in words.
func (p DevicePrompt) String() string {
	return fmt.Sprintf("To sign in, open %s in a browser, enter the code %s and sign in as an Exchange Administrator. "+
		"The code is good until %s. Enter it only if you started this yourself.", p.URL, p.Code, p.Expires.Local().Format("15:04"))
}

// DeviceCode returns a source for a person who signs in on any machine, by a code (RFC 8628). show is called
// with what the person has to do, and must return at once. Many tenants forbid device codes: the error then
// says so, and [BrowserSignIn] is the way.
func DeviceCode(cfg AuthConfig, show func(DevicePrompt)) (TokenSource, error) {
	if show == nil {
		return nil, errors.New("m365: a device code that is shown to nobody")
	}
	s, err := newSigner(cfg, true)
	if err != nil {
		return nil, err
	}
	s.grant = func(ctx context.Context, req TokenRequest) (tokenReply, error) { return s.device(ctx, req, show) }
	return s, nil
}

func (s *signer) device(ctx context.Context, req TokenRequest, show func(DevicePrompt)) (tokenReply, error) {
	var da oauth2.DeviceAuthResponse
	form := url.Values{"client_id": {s.cfg.ClientID}, "scope": {s.scopes(req.Scope)}}
	if req.Claims != "" {
		form.Set("claims", req.Claims)
	}
	if err := s.send(ctx, s.endpoint("devicecode"), form, &da); err != nil {
		return tokenReply{}, err
	}
	if da.DeviceCode == "" || da.UserCode == "" {
		return tokenReply{}, errors.New("m365: sign-in: the reply has no device code in it")
	}
	end := da.Expiry
	if end.IsZero() || time.Until(end) > time.Hour {
		end = time.Now().Add(15 * time.Minute)
	}
	show(DevicePrompt{URL: oneLine(da.VerificationURI, 200), Code: oneLine(da.UserCode, 40), Expires: end})
	// RFC 8628 section 3.5: five seconds when no interval is given, five more at each slow_down.
	interval := 5 * time.Second
	if da.Interval > 0 {
		interval = time.Duration(min(da.Interval, 60)) * time.Second
	}
	wait := (&requester{retry: Retry{Wait: s.cfg.Wait}}).wait
	for {
		if err := wait(ctx, interval); err != nil {
			return tokenReply{}, err
		}
		rep, err := s.post(ctx, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {da.DeviceCode}},
			TokenRequest{})
		var ae *AuthError
		switch {
		case err == nil || ctx.Err() != nil:
			return rep, err
		case !errors.As(err, &ae): // RFC 8628 section 3.5: no answer means to ask less often
			if interval += 5 * time.Second; time.Now().After(end) || interval > time.Minute {
				return rep, err
			}
		case ae.Code == "slow_down":
			interval += 5 * time.Second
		case ae.Code != "authorization_pending":
			return rep, err
		case time.Now().After(end):
			return rep, &AuthError{Code: "expired_token"}
		}
	}
}
