// Package gworkspace puts a Google Workspace tenant behind an inline e-mail gateway and takes it out again.
//
// Google has no API that writes the settings this takes. So a person makes them, and the package does all the
// rest: it says what to click and what to paste, reads back whatever can be read, infers the rest from the
// admin audit log and from messages sent through, watches for drift, and says how to undo it all.
//
//	           ┌ Plan ────── the steps that are left, with console path, link, values, check and wait
//	Profile ── ┼ Verify ──── what is right, wrong, missing, overridden or off, and how that is known
//	Tenant     ├ Runbook ─── all steps as a document, for admins who grant no access
//	           └ Offboard ── the reverse, in the order that loses no mail
//
// The program that most want:
//
//	profile, err := gworkspace.ReadProfile(file)
//	secrets, err := gworkspace.ReadSecrets(secretsFile) // or NewSecrets, once
//	tokens, err := gworkspace.ReadServiceAccount(keyFile)
//	client, err := gworkspace.NewClient(gworkspace.ClientConfig{Admin: "admin@ex.net", Tokens: tokens})
//	tenant := &gworkspace.Tenant{Profile: profile, Secrets: secrets, Client: client}
//	plan, err := tenant.Plan(ctx)
//	if blocked := plan.Blocked(); blocked != nil {
//		return blocked // says what is in the way and what to do about it
//	}
//	for _, step := range plan.Steps {
//		fmt.Println(step.Title, step.Console.Link)
//	}
//	report, err := tenant.Verify(ctx)
//	for _, drift := range report.Drift {
//		fmt.Println(drift)
//	}
//	back, err := tenant.Offboard(ctx)
//
// # The two ways of the mail
//
// [Reroute]: mail comes in at Google, a content compliance rule sends it to the gateway, which sends it back.
// [MXFirst]: the MX records name the gateway, which sends mail on to Google. "Reject all mail not from gateway
// IPs" belongs to the second alone: in the first it would refuse all mail there is. No plan asks for it there,
// and the check of the profile, the list of settings and the tests each hold that.
//
// # How a fact is known
//
// Every [Check] says [Read] (an API gave the value), [Inferred] (the audit log or a probe shows it) or [Told]
// (a person said so). What nobody knows is unknown, never right.
//
// # Secrets
//
// Gmail can only compare text, so the header that stops the loop and the one that names the tenant are
// secrets that anybody who sees them can use. They stand in [Secrets] and in what a person has to paste, that
// is in [Runbook] and in a plan with [Tenant.Reveal]; nowhere else.
//
// # Access
//
// [TokenSource] hands out tokens for a user of the tenant. [ServiceAccount] and [Keyless] do so by
// domain-wide delegation. Google matches scopes by exact text, so every request asks for one scope alone, and
// a [ScopeError] names the strings that are missing. Package gworkspacetest is a tenant for tests.
package gworkspace
