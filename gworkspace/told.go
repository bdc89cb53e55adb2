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

// undoes says which steps undo each step. Of the way out: that one of them was done after it means that the tenant
// came back. Of the way in: that it went.
var undoes = map[string][]string{
	idRejectOff:       {idReject},
	idPolicyFileBack:  {idPolicyFile},
	idMXBack:          {idMX},
	idKeep:            {idMX, idReject},
	idRuleOff:         {idRule},
	idDrain:           {idRule},
	idRuleGone:        {idRule},
	idGatewayGone:     {idGateway, idReject},
	idHostGone:        {idHost},
	idStorageBack:     {idStorage},
	idRemediationGone: {idRemediation},
	idAccessGone:      {idAccess},
	idKeyGone:         {idAccess, idRemediation},
	idProofGone:       {idRule, idHost, idGateway, idMX},

	idReject:     {idRejectOff, idGatewayGone},
	idPolicyFile: {idPolicyFileBack},
	idRule:       {idRuleOff, idRuleGone},
	idGateway:    {idGatewayGone},
	idHost:       {idHostGone},
	idStorage:    {idStorageBack},
}

// ruleSteps are those that take the rule away.
var ruleSteps = []string{idRuleOff, idDrain, idRuleGone}

// remade says which removal makes it news that a step is done: who makes a host again brings the tenant back, rule
// and all; who says of one that was never deleted that it is there only confirms it.
var remade = map[string]string{idHost: idHostGone, idGateway: idGatewayGone}

// answer is what people say about a step as of now; nil: nothing.
func (t *Tenant) answer(step string) *Answer {
	run := t.run(step)
	if len(run) == 0 {
		return nil
	}
	return &run[len(run)-1]
}

// since is from when on people say, without a break, that a step is done, of what they said after a time. Zero: they do
// not. That somebody says it again does not begin it anew.
func (t *Tenant) since(step string, after time.Time) time.Time {
	for _, a := range t.run(step) {
		if a.Done && a.At.After(after) {
			return a.At
		}
	}
	return time.Time{}
}

// run are the newest answers about a step that all say the same, oldest first. That a step is done which undoes it
// counts as an answer that it is not, unless that was taken back. Of answers of one time, the one that stands further
// down is the newer.
func (t *Tenant) run(step string) []Answer {
	told := slices.Clone(t.Told)
	slices.SortStableFunc(told, func(a, b Answer) int { return a.At.Compare(b.At) })
	stands := map[string]bool{} // the newest answer about each step
	for _, a := range told {
		stands[a.Step] = a.Done
	}
	var run []Answer
	removed := map[string]bool{} // what was said to be removed since the run began
	for _, a := range told {
		removal, ok := remade[a.Step]
		back := ok && removed[removal] && slices.Contains(ruleSteps, step)
		switch {
		case a.Step == step:
		case a.Done && stands[a.Step] && (back || slices.Contains(undoes[step], a.Step)):
			a = Answer{Step: step, By: a.By, At: a.At}
		default:
			removed[a.Step] = a.Done
			continue
		}
		if len(run) > 0 && run[0].Done != a.Done {
			run = nil
		}
		if len(run) == 0 {
			clear(removed)
		}
		run = append(run, a)
	}
	return run
}

// unheard notes answers that have no effect.
func (t *Tenant) unheard() []string {
	var ids []string
	for _, id := range []string{idAccess, idRemediation, idMX} {
		if slices.ContainsFunc(t.Told, func(a Answer) bool { return a.Step == id }) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return []string{"what was said about " + strings.Join(ids, ", ") + " has no effect: tokens and DNS show it, and nothing else does"}
}
