package app

import (
	"context"
	"errors"
	"time"

	"github.com/postreeve/postreeve/verdict/mailauth"
)

// seals compares the keys that seal with what DNS publishes.
func (k *checker) seals(ctx context.Context) []checked {
	var out []checked
	rotation, err := newRotation(k.cfg)
	if err != nil {
		return one("arc", "key", stateFail, err.Error(), "postreeve dkim-key makes a key; the file has to be readable for the user that runs the gateway, and for nobody else")
	}
	dns := newDNS(k.cfg, nil)
	dns.Timeout = min(k.timeout, 5*time.Second)
	now := time.Now()
	for _, turn := range rotation {
		out = append(out, judgeSeal(ctx, dns, turn, rotation.Current(now) == turn.Sealer, now)...)
	}
	return out
}

// judgeSeal judges the record of one key: that of the key that seals has to be there, of the others it should.
func judgeSeal(ctx context.Context, dns mailauth.Resolver, turn mailauth.Turn, current bool, now time.Time) []checked {
	name := turn.Sealer.RecordName()
	err := turn.Sealer.Published(ctx, dns)
	if err == nil {
		switch {
		case current:
			return one("arc", name, stateOK, "seals, and its record is published", "")
		case turn.From.After(now):
			return one("arc", name, stateOK, "published, seals from "+moment(turn.From), "")
		}
		return one("arc", name, stateOK, "published, and does not seal any more", "")
	}
	record, rerr := mailauth.KeyRecord(turn.Sealer.Key)
	if rerr != nil {
		return one("arc", name, stateFail, rerr.Error(), "postreeve dkim-key makes a key")
	}
	publish := "publish this TXT record: " + record
	switch {
	case errors.Is(err, mailauth.ErrTemporary):
		return one("arc", name, stateWarn, "nobody can tell whether its record is published: "+err.Error(), "the resolvers have to answer")
	case current:
		return one("arc", name, stateFail, "seals, and receivers cannot check it: "+err.Error(), publish)
	case turn.From.After(now):
		return one("arc", name, stateWarn, "will seal from "+moment(turn.From)+", and its record is not right yet: "+err.Error(), publish)
	}
	return one("arc", name, stateWarn, "does not seal any more, and its record is not right: "+err.Error(), "mail that it sealed may still be on its way: keep the record for a week, then take the key out of arc")
}
