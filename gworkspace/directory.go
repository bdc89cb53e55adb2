package gworkspace

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// A Unit is an organizational unit.
type Unit struct {
	ID   string `json:"id"`   // without the prefix id:
	Path string `json:"path"` // such as /Sales/Europe; the top one is /
}

// Units reads all organizational units, the top one included.
func (c *Client) Units(ctx context.Context) ([]Unit, error) {
	to := c.admin.JoinPath("admin/directory/v1/customer/my_customer/orgunits")
	to.RawQuery = "type=all_including_parent"
	var page struct {
		Units []struct{ OrgUnitID, OrgUnitPath string } `json:"organizationUnits"`
	}
	if err := c.getAdmin(ctx, "orgunits.list", ScopeUnits, to, c.adminQuota, &page); err != nil {
		return nil, err
	}
	var out []Unit
	for _, u := range page.Units {
		if strings.HasPrefix(u.OrgUnitPath, "/") {
			out = append(out, Unit{ID: strings.TrimPrefix(u.OrgUnitID, "id:"), Path: u.OrgUnitPath})
		}
	}
	return out, nil
}

// A Domain is a domain of the tenant.
type Domain struct {
	Name     string `json:"name"`
	Verified bool   `json:"verified"`
}

// Domains reads all domains and domain aliases of the tenant.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	var page struct {
		Domains []struct {
			DomainName    string
			Verified      bool
			DomainAliases []struct {
				DomainAliasName string
				Verified        bool
			}
		}
	}
	if err := c.getAdmin(ctx, "domains.list", ScopeDomains, c.admin.JoinPath("admin/directory/v1/customer/my_customer/domains"), c.adminQuota, &page); err != nil {
		return nil, err
	}
	var out []Domain
	for _, d := range page.Domains {
		out = append(out, Domain{strings.ToLower(d.DomainName), d.Verified})
		for _, a := range d.DomainAliases {
			out = append(out, Domain{strings.ToLower(a.DomainAliasName), a.Verified})
		}
	}
	return out, nil
}

// directoryUser is what is asked of a user.
type directoryUser struct {
	PrimaryEmail   string
	IsAdmin        bool
	Suspended      bool
	IsMailboxSetup *bool
	OrgUnitPath    string
}

// user finds a user by any of its addresses; nil: there is none.
func (c *Client) user(ctx context.Context, address string) (*directoryUser, error) {
	var u directoryUser
	to := c.admin.JoinPath("admin/directory/v1/users", url.PathEscape(address))
	err := c.getAdmin(ctx, "users.get", ScopeUsers, to, c.adminQuota, &u)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err == nil && !isAddress(u.PrimaryEmail) {
		return nil, &Error{Op: "users.get", Object: address, Message: "the reply names no address"}
	}
	return &u, err
}

// maxMembers bounds how many mailboxes one group may stand for.
const maxMembers = 100_000

// members lists the mailboxes that a group stands for, members of its groups included; nil: there is no such
// group. Groups outside of the tenant are left out. Users outside are shown like those of the tenant: only a token
// that is refused tells them apart, see [Client.stranger].
func (c *Client) members(ctx context.Context, address string) ([]string, error) {
	var group struct{ Email string }
	err := c.getAdmin(ctx, "groups.get", ScopeGroups, c.admin.JoinPath("admin/directory/v1/groups", url.PathEscape(address)), c.adminQuota, &group)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	x := &expansion{client: c, seen: map[string]bool{}, users: map[string]bool{}}
	if err := x.group(ctx, first(group.Email, address)); err != nil {
		return nil, err
	}
	return append([]string{}, x.out...), nil
}

// expansion walks groups, each once: they may hold each other.
type expansion struct {
	client      *Client
	seen, users map[string]bool
	out         []string
}

func (x *expansion) group(ctx context.Context, address string) error {
	key := strings.ToLower(address)
	if x.seen[key] {
		return nil
	}
	x.seen[key] = true
	to := x.client.admin.JoinPath("admin/directory/v1/groups", url.PathEscape(address), "members")
	to.RawQuery = "maxResults=200"
	var nested []string
	everybody := false
	err := pages(ctx, "members.list", to, func(ctx context.Context, u *url.URL) (string, error) {
		var page struct {
			Members       []struct{ Email, Type string }
			NextPageToken string
		}
		if err := x.client.getAdmin(ctx, "members.list", ScopeGroups, u, x.client.adminQuota, &page); err != nil {
			return "", err
		}
		for _, m := range page.Members {
			switch m.Type {
			case "GROUP":
				nested = append(nested, m.Email)
			case "CUSTOMER":
				everybody = true
			case "USER":
				if err := x.add(m.Email); err != nil {
					return "", err
				}
			}
		}
		return page.NextPageToken, nil
	})
	if err != nil {
		return err
	}
	if everybody {
		if err := x.everybody(ctx); err != nil {
			return err
		}
	}
	for _, g := range nested {
		err := x.group(ctx, g)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrForbidden) {
			continue // a group of somebody else, or deleted meanwhile: those above were shown
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// everybody adds all users of the tenant.
func (x *expansion) everybody(ctx context.Context) error {
	to := x.client.admin.JoinPath("admin/directory/v1/users")
	to.RawQuery = "customer=my_customer&maxResults=500"
	return pages(ctx, "users.list", to, func(ctx context.Context, u *url.URL) (string, error) {
		var page struct {
			Users         []directoryUser
			NextPageToken string
		}
		if err := x.client.getAdmin(ctx, "users.list", ScopeUsers, u, x.client.adminQuota, &page); err != nil {
			return "", err
		}
		for _, u := range page.Users {
			if err := x.add(u.PrimaryEmail); err != nil {
				return "", err
			}
		}
		return page.NextPageToken, nil
	})
}

func (x *expansion) add(address string) error {
	key := strings.ToLower(address)
	if x.users[key] || !isAddress(address) {
		return nil
	}
	if len(x.out) >= maxMembers {
		return &Error{Op: "members.list", Kind: ErrInvalid, Message: "the group has more than 100000 members"}
	}
	x.users[key] = true
	x.out = append(x.out, key)
	return nil
}
