package mailauth

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/verdict"
)

// arcSet is what one hop has added (RFC 8617 section 4.1).
type arcSet struct {
	results []byte // ARC-Authentication-Results, the field
	message *signature
	seal    *signature
}

// arcChain is the chain of a message, oldest set first: set i is at i-1. A chain that does not hold together
// has an err, and the sets that were found.
type arcChain struct {
	sets []arcSet
	err  error
}

// maxARC is how many sets a chain may have (RFC 8617 section 4.2.1).
const maxARC = 50

var errChain = errors.New("the ARC chain is broken")

func brokenChain(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errChain, fmt.Sprintf(format, args...))
}

// parseARC collects the sets of a message (RFC 8617 section 5.2 steps 1 to 3).
func (c *content) parseARC() arcChain {
	var chain arcChain
	for _, f := range c.fields {
		if len(f.name) < 4 || !strings.EqualFold(f.name[:4], "ARC-") {
			continue
		}
		var err error
		switch strings.ToLower(f.name[4:]) {
		case "authentication-results":
			err = chain.addResults(f.raw)
		case "message-signature":
			err = chain.addSignature(f.raw, func(s *arcSet) **signature { return &s.message })
		case "seal":
			err = chain.addSignature(f.raw, func(s *arcSet) **signature { return &s.seal })
		}
		if err != nil && chain.err == nil {
			chain.err = err
		}
	}
	for i := range chain.sets {
		if chain.err == nil {
			chain.err = chain.checkSet(i)
		}
	}
	return chain
}

// set returns the set with an instance number as it was written.
func (a *arcChain) set(instance string) (*arcSet, error) {
	n, err := strconv.Atoi(instance)
	if err != nil || n < 1 || n > maxARC || strconv.Itoa(n) != instance {
		return nil, brokenChain("i=%.10q", instance)
	}
	for len(a.sets) < n {
		a.sets = append(a.sets, arcSet{})
	}
	return &a.sets[n-1], nil
}

// addResults takes an ARC-Authentication-Results field: i=, a semicolon and the payload.
func (a *arcChain) addResults(raw []byte) error {
	_, value, _ := bytes.Cut(raw, []byte(":"))
	first, _, ok := strings.Cut(string(value), ";")
	name, instance, eq := strings.Cut(first, "=")
	if !ok || !eq || trimFWS(name) != "i" {
		return brokenChain("ARC-Authentication-Results without i=")
	}
	s, err := a.set(trimFWS(instance))
	if err != nil {
		return err
	}
	if s.results != nil {
		return brokenChain("two ARC-Authentication-Results in one set")
	}
	s.results = raw
	return nil
}

func (a *arcChain) addSignature(raw []byte, place func(*arcSet) **signature) error {
	sig, err := newSignature(raw)
	if err != nil {
		return brokenChain("%v", err)
	}
	instance, _ := sig.tags.get("i")
	s, err := a.set(instance)
	if err != nil {
		return err
	}
	if *place(s) != nil {
		return brokenChain("two signatures of one kind in one set")
	}
	*place(s) = sig
	return nil
}

// checkSet looks at the form of a set and at what it says of the chain before it.
func (a *arcChain) checkSet(i int) error {
	s := &a.sets[i]
	if s.results == nil || s.message == nil || s.seal == nil {
		return brokenChain("set %d is not complete", i+1)
	}
	want := "pass"
	if i == 0 {
		want = "none"
	}
	if cv, _ := s.seal.tags.get("cv"); cv != want {
		return brokenChain("set %d says cv=%.10q", i+1, cv)
	}
	if _, ok := s.seal.tags.get("h"); ok {
		return brokenChain("seal %d has h=", i+1)
	}
	if err := s.seal.parseBase(); err != nil {
		return brokenChain("seal %d: %v", i+1, err)
	}
	if i < len(a.sets)-1 {
		return nil // only the newest message signature has to be good
	}
	err := s.message.parseBase()
	if err == nil {
		err = s.message.parseMessage("relaxed/relaxed") // as the test suite of ARC has it; RFC 8617 is silent
	}
	if err == nil && s.message.signs("ARC-Seal") {
		err = malformed("ARC-Seal is signed")
	}
	if err != nil {
		return brokenChain("message signature %d: %v", i+1, err)
	}
	return nil
}

// newest returns the last set, or nil if there is no chain.
func (a *arcChain) newest() *arcSet {
	if len(a.sets) == 0 {
		return nil
	}
	return &a.sets[len(a.sets)-1]
}

// closed says that the newest set reports a broken chain already: then nobody adds to it.
func (a *arcChain) closed() bool {
	s := a.newest()
	if s == nil || s.seal == nil {
		return false
	}
	cv, _ := s.seal.tags.get("cv")
	return cv == "fail"
}

// keyNames returns what has to be looked up to verify the chain.
func (a *arcChain) keyNames() []string {
	if a.err != nil || len(a.sets) == 0 {
		return nil
	}
	names := []string{a.newest().message.keyName()}
	for _, s := range a.sets {
		names = append(names, s.seal.keyName())
	}
	return names
}

// verify validates the chain (RFC 8617 section 5.2).
func (a *arcChain) verify(c *content, keys map[string]fetchedKey) verdict.ARCResult {
	if len(a.sets) == 0 && a.err == nil {
		return verdict.ARCResult{Result: "none"}
	}
	out := verdict.ARCResult{Result: "fail", Err: a.err}
	if s := a.newest(); s != nil && s.seal != nil {
		out.Sealer = s.seal.domain
	}
	if a.err != nil {
		return out
	}
	newest := a.newest().message
	check := func(s *signature, verify func(k *publicKey) error) {
		k := keys[s.keyName()]
		var err error
		switch {
		case k.key == nil && k.result == "temperror":
			if out.Err == nil {
				out.Result, out.Err = "temperror", k.err
			}
			return
		case k.key == nil:
			err = k.err
		default:
			err = verify(k.key)
		}
		if err != nil && (out.Err == nil || out.Result == "temperror") {
			out.Result, out.Err = "fail", brokenChain("%s: %v", s.domain, err)
		}
	}
	check(newest, func(k *publicKey) error { return c.verify(newest, k) })
	sum := sha256.New()
	for _, s := range a.sets {
		digest := s.sealed(sum)
		check(s.seal, func(k *publicKey) error { return verifySeal(s.seal, k, digest) })
	}
	if out.Err == nil {
		out.Result = verdict.Pass
	}
	return out
}

// sealed adds a set to sum, which holds the sets before it, and returns the digest that its seal signs
// (RFC 8617 section 5.1.1).
func (s *arcSet) sealed(sum hash.Hash) []byte {
	buf := appendRelaxed(make([]byte, 0, 2048), s.results)
	buf = appendRelaxed(buf, s.message.raw)
	sum.Write(buf)
	buf = bytes.TrimSuffix(appendRelaxed(buf[:0], s.seal.unsigned()), crlf)
	digest := resume(sum, buf)
	sum.Write(appendRelaxed(buf[:0], s.seal.raw))
	return digest
}

// resume returns the digest of what sum holds and rest, and leaves sum as it is.
func resume(sum hash.Hash, rest []byte) []byte {
	clone, err := sum.(hash.Cloner).Clone() // crypto/sha256 documents that it can
	if err != nil {
		return nil
	}
	clone.Write(rest)
	return clone.Sum(nil)
}

func verifySeal(s *signature, k *publicKey, digest []byte) error {
	if k.kind != s.algorithm {
		return errKeyOfKind
	}
	if !k.verify(digest, s.sig) {
		return errSignedBy
	}
	return nil
}
