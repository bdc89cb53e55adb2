package m365

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// mailbox is one user.
type mailbox struct{ id, name string }

// box is a mailbox with the targets that are to be looked for in it, by their index.
type box struct {
	mailbox
	targets []int
}

// maxMembers bounds how many mailboxes one group may stand for.
const maxMembers = 100_000

// resolve finds the mailboxes of all recipients: the user with that address, or all members of the group. A
// recipient that is neither has its outcome at once.
func (g *Graph) resolve(ctx context.Context, targets []Target) ([]box, []Remediation, error) {
	var all []string
	for _, t := range targets {
		if a := strings.ToLower(t.Recipient); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	who, failed, err := g.lookup(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	var boxes []box
	var early []Remediation
	at := map[string]int{}
	for i, t := range targets {
		a := strings.ToLower(t.Recipient)
		if err := failed[a]; err != nil {
			early = append(early, Remediation{Target: t, State: MailFailed, Err: err, Reason: oneLine(err.Error(), 500)})
			continue
		}
		if len(who[a]) == 0 {
			early = append(early, Remediation{Target: t, State: MailNotFound, Reason: "no mailbox and no group has this address"})
		}
		for _, m := range who[a] {
			n, ok := at[m.id]
			if !ok {
				n = len(boxes)
				at[m.id] = n
				boxes = append(boxes, box{mailbox: m})
			}
			if !slices.Contains(boxes[n].targets, i) {
				boxes[n].targets = append(boxes[n].targets, i)
			}
		}
	}
	return boxes, early, nil
}

// lookup asks for users first, then for groups with what is left. An address that cannot be looked up fails
// alone.
func (g *Graph) lookup(ctx context.Context, addresses []string) (map[string][]mailbox, map[string]error, error) {
	out, failed := map[string][]mailbox{}, map[string]error{}
	left := addresses
	for _, kind := range []string{"users", "groups"} {
		parts := make([]*part, len(left))
		for i, a := range left {
			parts[i] = &part{mailbox: a, method: http.MethodGet, path: "/" + kind + "?$filter=" + url.QueryEscape("proxyAddresses/any(p:p eq ") +
				odataText("smtp:"+a) + url.QueryEscape(")") + "&$select=id,userPrincipalName,mail"}
			if kind == "groups" {
				parts[i].path = strings.Replace(parts[i].path, "userPrincipalName,", "", 1)
			}
		}
		if err := g.batch(ctx, parts); err != nil {
			return nil, nil, err
		}
		var next []string
		for i, a := range left {
			found, err := g.match(ctx, kind, a, parts[i])
			switch {
			case err != nil && ctx.Err() != nil:
				return nil, nil, ctx.Err()
			case err != nil:
				failed[a] = err
			case found == nil:
				next = append(next, a)
			default:
				out[a] = found
			}
		}
		left = next
	}
	return out, failed, nil
}

// match reads the answer for one address; nil: there is none of that kind.
func (g *Graph) match(ctx context.Context, kind, address string, p *part) ([]mailbox, error) {
	if p.status == http.StatusBadRequest && kind == "users" {
		// This form of a filter is not confirmed everywhere; the user name often is the address.
		return g.userNamed(ctx, address)
	}
	if err := p.err(address); err != nil {
		return nil, err
	}
	var list struct{ Value []user }
	if err := json.Unmarshal(p.reply, &list); err != nil {
		return nil, &Error{Cmdlet: "GET /" + kind, Object: address, Message: "the reply is not what Graph sends"}
	}
	switch {
	case len(list.Value) == 0:
		return nil, nil
	case len(list.Value) > 1:
		return nil, &Error{Cmdlet: "GET /" + kind, Object: address, Message: fmt.Sprintf("%d objects have this address", len(list.Value))}
	case kind == "users":
		return []mailbox{list.Value[0].mailbox()}, nil
	}
	members, err := graphAll[user](ctx, g, "/groups/"+url.PathEscape(list.Value[0].ID)+"/transitiveMembers/microsoft.graph.user?$select=id,userPrincipalName,mail&$top=999")
	if err != nil {
		return nil, err
	}
	if len(members) > maxMembers {
		return nil, &Error{Cmdlet: "GET /groups", Object: address, Kind: ErrLimit, Message: fmt.Sprintf("the group has more than %d members", maxMembers)}
	}
	out := []mailbox{}
	for _, m := range members {
		out = append(out, m.mailbox())
	}
	return out, nil
}

type user struct {
	ID                string `json:"id"`
	UserPrincipalName string `json:"userPrincipalName"`
	Mail              string `json:"mail"`
}

func (u user) mailbox() mailbox {
	return mailbox{id: u.ID, name: first(u.UserPrincipalName, u.Mail, u.ID)}
}

func (g *Graph) userNamed(ctx context.Context, address string) ([]mailbox, error) {
	var u user
	err := g.send(ctx, http.MethodGet, "/users/"+url.PathEscape(address)+"?$select=id,userPrincipalName,mail", nil, &u, true)
	if errors.Is(err, ErrNotFound) || err == nil && u.ID == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []mailbox{u.mailbox()}, nil
}

// tally collects outcomes from all workers.
type tally struct {
	mu   sync.Mutex
	all  []Remediation
	done func(Remediation)
}

func (t *tally) add(o Remediation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, o)
	if t.done != nil {
		t.done(o)
	}
}

// sorted puts the outcomes into the order of the targets, and by mailbox.
func (t *tally) sorted(targets []Target) []Remediation {
	t.mu.Lock()
	defer t.mu.Unlock()
	place := map[Target]int{}
	for i, x := range targets {
		if _, ok := place[x]; !ok {
			place[x] = i
		}
	}
	slices.SortStableFunc(t.all, func(a, b Remediation) int {
		return cmp.Or(place[a.Target]-place[b.Target], strings.Compare(a.Mailbox, b.Mailbox))
	})
	return t.all
}
