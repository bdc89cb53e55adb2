package gworkspace

import (
	"slices"
	"strings"
	"time"
)

// An Answer is what a person said about a step. The newest counts, of a step and of the ones that undo it: whoever
// says that the host was deleted says that it is not there any more. What is read counts more than what was said:
// answers about access, remediation and mx have no effect.
type Answer struct {
	Step string    `json:"step"` // its id
	Done bool      `json:"done"` // false: it is not done, or not any more
	By   string    `json:"by,omitempty"`
	At   time.Time `json:"at"`
}

// undoes says which steps each step of the way out undoes. That one of them was done after it means that the tenant
// came back, so that it has to be done again.
var undoes = map[string][]string{
	idRejectOff:       {idReject},
	idPolicyFileBack:  {idPolicyFile},
	idMXBack:          {idMX},
	idKeep:            {idMX, idReject},
	idRuleOff:         {idRule, idHost, idGateway},
	idDrain:           {idRule, idHost, idGateway},
	idRuleGone:        {idRule, idHost, idGateway},
	idGatewayGone:     {idGateway, idReject},
	idHostGone:        {idHost},
	idStorageBack:     {idStorage},
	idRemediationGone: {idRemediation},
	idAccessGone:      {idAccess},
	idKeyGone:         {idAccess, idRemediation},
	idProofGone:       {idRule, idHost, idGateway, idMX},
}

// undoneBy are the steps of the way out after which a step does not stand any more.
var undoneBy = map[string][]string{
	idReject:     {idRejectOff, idGatewayGone},
	idPolicyFile: {idPolicyFileBack},
	idRule:       {idRuleOff, idRuleGone},
	idGateway:    {idGatewayGone},
	idHost:       {idHostGone},
	idStorage:    {idStorageBack},
}

// answer is what people say about a step as of now; nil: nothing.
func (t *Tenant) answer(step string) *Answer {
	at := t.lastSaid(step)
	var out *Answer
	if at >= 0 {
		out = &t.Told[at]
	}
	for _, id := range slices.Concat(undoes[step], undoneBy[step]) {
		if i := t.lastSaid(id); i >= 0 && t.Told[i].Done && (at < 0 || t.later(i, at)) {
			at, out = i, &Answer{Step: step, By: t.Told[i].By, At: t.Told[i].At}
		}
	}
	return out
}

// lastSaid is the index of the newest answer about a step itself, or -1.
func (t *Tenant) lastSaid(step string) int {
	out := -1
	for i, a := range t.Told {
		if a.Step == step && (out < 0 || t.later(i, out)) {
			out = i
		}
	}
	return out
}

// later says which of two answers is the newer: of the same time, the one that stands further down.
func (t *Tenant) later(i, j int) bool {
	if c := t.Told[i].At.Compare(t.Told[j].At); c != 0 {
		return c > 0
	}
	return i > j
}

// unheard notes answers that have no effect.
func (t *Tenant) unheard() []string {
	var ids []string
	for _, id := range []string{idAccess, idRemediation, idMX} {
		if t.lastSaid(id) >= 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return []string{"what was said about " + strings.Join(ids, ", ") + " has no effect: tokens and DNS show it, and nothing else does"}
}
