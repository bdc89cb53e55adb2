// Package m365 puts a Microsoft 365 tenant behind an inline e-mail gateway and takes it out again.
//
// A [Profile] says what is wanted. A [Tenant] is where it is wanted. Everything else follows from one list of
// settings, each of which knows how to be checked, made, verified and undone, why it is there, what it risks
// and what has to stand before it:
//
//	           ┌ Plan ──── review ──── Apply        reads, compares; then writes, journal first
//	Profile ── ┼ Verify                             drift by field, foreign rules above ours, effective mode
//	Tenant     ├ PlanOffboard ── Offboard           the reverse, in the order that loses no mail
//	           ├ Script, Runbook                    the same for admins who grant no access
//	           └ PlanVendorRemoval                  what another product left behind
//
// The program that most want:
//
//	profile, err := m365.ReadProfile(file)
//	client, err := m365.NewClient(m365.ClientConfig{Tenant: "ex.net", Tokens: tokens})
//	tenant := &m365.Tenant{
//		Profile:  profile,
//		Exchange: client,
//		Journal:  "/var/lib/gateway/ex.net",
//		Progress: func(e m365.Event) { fmt.Println(e) },
//	}
//	plan, err := tenant.Plan(ctx)
//	if blocked := plan.Blocked(); blocked != nil {
//		return blocked // says what is in the way and what to do about it
//	}
//	json.NewEncoder(os.Stdout).Encode(plan) // for whoever reviews it
//	outcome, err := tenant.Apply(ctx, plan) // errors.Is(err, m365.ErrStale): the tenant changed meanwhile
//	report, err := tenant.Verify(ctx)
//
// # What is changed and what never is
//
// Connectors and rules carry our mark in their comment. Entries of lists that the tenant shares with others
// (allowed addresses, spoof pairs, ARC sealers) have no room for one, so the journal says which we added, and
// single values are in the snapshot that is taken before the first change. Nothing else is ever changed or
// removed: an object of somebody else under one of our names stops the plan instead.
//
// # The journal
//
// Tenant.Journal is a directory. It holds the snapshot, a log with a record before and after every write, the
// plan in force, and the secret of the mail loop, which stands there and nowhere else. A run that dies at any
// point is finished by the same call; a reply that never came is cleared up by listing before writing again.
//
// # Facts that no document settles
//
// The service is described in places by practice only. Those facts are tried and read back at run time, and
// [Plan.Notes] names the ones that a plan leans on.
//
// [Client] runs cmdlets through the Exchange admin API, checked against a compiled table of their parameters;
// nothing else in the package makes requests to it. Package m365test is a tenant for tests.
package m365
