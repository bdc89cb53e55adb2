package m365

import (
	"context"
	"errors"
	"strings"
)

const (
	newTries = 3 // how often an object is made before its lost replies are given up
	newLooks = 4 // how often a list is read before an object counts as not made
)

// New makes an object and returns what identifies it: its GUID, or for a spoof pair its identity. When the
// reply is lost it lists before it tries again, and takes an object with the same name and the same comment
// for its own. An object of that name that was there before is [ErrExists].
func (c *Client) New(ctx context.Context, o Object) (id string, err error) {
	call := Call{Cmdlet: "New-" + o.noun().name, Params: o.Params()}
	lost := false
	for range newTries {
		res, err := c.Invoke(ctx, call)
		if err == nil {
			if id := identityOf(res.Rows); id != "" {
				return id, nil
			}
			return c.look(ctx, o)
		}
		if !errors.Is(err, ErrAmbiguous) && !(lost && errors.Is(err, ErrExists)) {
			return "", err
		}
		lost = true
		id, lookErr := c.look(ctx, o)
		if lookErr == nil || !errors.Is(lookErr, ErrNotFound) || errors.Is(err, ErrExists) {
			return id, lookErr
		}
	}
	return "", &Error{Cmdlet: call.Cmdlet, Object: call.object(), Kind: ErrAmbiguous, Message: "the object was not found after several attempts"}
}

func identityOf(rows []Row) string {
	if len(rows) != 1 {
		return ""
	}
	guid, _ := rows[0].Text("Guid")
	identity, _ := rows[0].Text("Identity")
	return first(guid, identity)
}

// look lists until the object shows, since a new object may not be in the list at once.
func (c *Client) look(ctx context.Context, o Object) (string, error) {
	for n := range newLooks {
		id, err := c.Find(ctx, o)
		if err != nil || id != "" {
			return id, err
		}
		if n < newLooks-1 {
			if err := c.http.wait(ctx, c.http.backoff(n+1)); err != nil {
				return "", err
			}
		}
	}
	return "", &Error{Cmdlet: "New-" + o.noun().name, Object: Call{Params: o.Params()}.object(), Kind: ErrNotFound}
}

// Find lists the objects of the kind and returns what identifies the one that New would have made of o:
// with the same name and comment, or the same pair. Empty: there is none.
func (c *Client) Find(ctx context.Context, o Object) (id string, err error) {
	switch o := o.(type) {
	case TransportRule:
		all, err := c.TransportRules(ctx)
		return pickOne(all, err, func(x TransportRule) (string, bool) {
			return x.Guid, strings.EqualFold(x.Name, o.Name) && x.Comments == o.Comments
		})
	case InboundConnector:
		all, err := c.InboundConnectors(ctx)
		return pickOne(all, err, func(x InboundConnector) (string, bool) {
			return x.Guid, strings.EqualFold(x.Name, o.Name) && x.Comment == o.Comment
		})
	case OutboundConnector:
		all, err := c.OutboundConnectors(ctx)
		return pickOne(all, err, func(x OutboundConnector) (string, bool) {
			return x.Guid, strings.EqualFold(x.Name, o.Name) && x.Comment == o.Comment
		})
	case SpoofItem:
		all, err := c.SpoofItems(ctx)
		return pickOne(all, err, func(x SpoofItem) (string, bool) { return x.Identity, o.Same(x) && o.Action == x.Action })
	case RoleGroup:
		all, err := c.RoleGroups(ctx)
		return pickOne(all, err, func(x RoleGroup) (string, bool) {
			return x.Guid, strings.EqualFold(x.Name, o.Name) && x.Description == o.Description
		})
	case ServicePrincipal:
		all, err := c.ServicePrincipals(ctx)
		return pickOne(all, err, func(x ServicePrincipal) (string, bool) { return x.Identity, strings.EqualFold(x.AppId, o.AppId) })
	}
	return "", badCall(Call{Cmdlet: "New-" + o.noun().name}, "this kind of object cannot be listed")
}

func pickOne[T any](all []T, err error, is func(T) (string, bool)) (string, error) {
	if err != nil {
		return "", err
	}
	for _, x := range all {
		if id, ok := is(x); ok {
			return id, nil
		}
	}
	return "", nil
}

// Same says whether both items are about the same pair. An address and the /24 network around it are the
// same infrastructure: the service takes no other mask.
func (o SpoofItem) Same(x SpoofItem) bool {
	return strings.EqualFold(o.SpoofedUser, x.SpoofedUser) && strings.EqualFold(o.SpoofType, x.SpoofType) &&
		plainInfrastructure(o.SendingInfrastructure) == plainInfrastructure(x.SendingInfrastructure)
}

// plainInfrastructure gives the /24 network of an address or network, and anything else in lower case.
func plainInfrastructure(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	if p, ok := parsePrefix(s); ok && p.Addr().Is4() && p.Bits() >= 24 {
		if p, err := p.Addr().Prefix(24); err == nil {
			return p.String()
		}
	}
	return s
}

// Clear empties a list. No page says which form of an empty list the service takes for which parameter, so
// the forms are tried one after the other until cleared, which reads the object again, says so.
func (c *Client) Clear(ctx context.Context, call Call, param string, cleared func(context.Context) (bool, error)) error {
	var last error
	for _, form := range []Empty{EmptyTable, EmptyArray, EmptyNull} {
		p := Params{param: form}
		for k, v := range call.Params {
			if k != param {
				p[k] = v
			}
		}
		_, err := c.Invoke(ctx, Call{Cmdlet: call.Cmdlet, Params: p})
		if err != nil && !errors.Is(err, ErrInvalid) {
			return err
		}
		last = err
		if err == nil {
			if ok, err := cleared(ctx); ok || err != nil {
				return err
			}
		}
	}
	return &Error{Cmdlet: call.Cmdlet, Object: call.object(), Err: last, Message: param + " does not become empty: clear it by hand"}
}
