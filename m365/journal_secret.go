package m365

import (
	"crypto/rand"
	"errors"
)

// LoopSecrets returns the values of the loop header that the tenant accepts, the one in force first. The gateway has
// to know them: mail it sends back without one goes to it again. There is none before the first Apply.
func (t *Tenant) LoopSecrets() ([]string, error) {
	s, err := readSecrets(t.Journal)
	return s.Tokens, err
}

// RotateSecret puts a new secret in front of the one in force; the next plan writes it to the tenant, which accepts
// both from then on. Once the gateway knows the new one and the rule had time to take effect, RetireSecret drops the
// old one.
func (t *Tenant) RotateSecret() error {
	return t.changeSecrets(func(old []string) ([]string, error) {
		switch len(old) {
		case 0:
			return nil, errors.New("m365: there is no secret yet: the first Apply makes one")
		case 1:
			return []string{rand.Text(), old[0]}, nil
		}
		return nil, errors.New("m365: a rotation has been begun: plan and apply it, then retire the old secret")
	})
}

// RetireSecret drops the secret that was in force before the last RotateSecret; the next plan takes it out of the
// tenant.
func (t *Tenant) RetireSecret() error {
	return t.changeSecrets(func(old []string) ([]string, error) {
		if len(old) < 2 {
			return nil, errors.New("m365: there is no old secret to retire")
		}
		return old[:1], nil
	})
}

func (t *Tenant) changeSecrets(change func([]string) ([]string, error)) error {
	s, err := readSecrets(t.Journal)
	if err != nil {
		return err
	}
	j, err := openJournal(t.Journal, s)
	if err != nil {
		return err
	}
	if s, err = readSecrets(t.Journal); err == nil { // again, under the lock
		s.Tokens, err = change(s.Tokens)
	}
	if err == nil {
		err = j.put(secretOfFile, s)
	}
	return errors.Join(err, j.close())
}
