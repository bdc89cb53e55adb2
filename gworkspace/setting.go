package gworkspace

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The ids of the steps.
const (
	idAccess      = "access"
	idStorage     = "storage"
	idHost        = "host"
	idGateway     = "inbound-gateway"
	idReject      = "inbound-gateway.reject"
	idRule        = "redirect-rule"
	idRemediation = "remediation"
	idPolicyFile  = "mta-sts"
	idMX          = "mx"
	idAllowList   = "allow-list"
)

// Where the settings stand.
const (
	linkHosts      = "https://admin.google.com/ac/apps/gmail/hosts"
	linkCompliance = "https://admin.google.com/ac/apps/gmail/compliance"
	linkSpam       = "https://admin.google.com/ac/apps/gmail/spam"
	linkDelegation = "https://admin.google.com/ac/owl/domainwidedelegation"
	linkKeys       = "https://console.cloud.google.com/iam-admin/serviceaccounts"

	pathHosts      = "Admin console > Apps > Google Workspace > Gmail > Hosts"
	pathCompliance = "Admin console > Apps > Google Workspace > Gmail > Compliance"
	pathSpam       = "Admin console > Apps > Google Workspace > Gmail > Spam, Phishing and Malware"
	pathDelegation = "Admin console > Security > Access and data control > API controls > Manage Domain Wide Delegation"

	roleSettings = "Gmail Settings privilege"
	roleSuper    = "Super Admin"

	waitDay = "up to 24 hours until it has effect, often minutes, longer with large groups"

	// labelReject is the tick that belongs to mode MXFirst alone.
	labelReject = "Reject all mail not from gateway IPs"
)

// settings are the steps of a profile, in the order in which they are made. Plan, Runbook, Verify and the way
// back all work on this list. The secrets may be nil: placeholders stand for them.
func (p *Profile) settings(s *Secrets) []Step {
	var out []Step
	if p.Access != nil {
		out = append(out, p.accessStep())
	}
	if p.Mode == Reroute {
		out = append(out, p.storageStep(), p.hostStep(), p.gatewayStep(), p.ruleStep(s))
	} else {
		out = append(out, p.gatewayStep(), p.policyFileStep(), p.mxStep(), p.rejectStep())
	}
	if p.Remediation != nil {
		out = append(out, p.remediationStep())
	}
	here := map[string]bool{}
	for i := range out {
		out[i].Needs = slices.DeleteFunc(out[i].Needs, func(id string) bool { return !here[id] })
		here[out[i].ID] = true
	}
	return out
}

func (p *Profile) accessStep() Step {
	return Step{ID: idAccess, Title: "Let " + p.product() + " read the settings", Object: "delegation client " + p.Access.ClientID, Verb: VerbCreate,
		Why:    "What can be read is checked by this program instead of by eye, and it is the first to come and the last to go: without it nothing that follows can be confirmed.",
		Risk:   "Whoever holds the key of the service account can read policies, the audit log and the directory. It can change nothing.",
		Roles:  []string{roleSuper},
		Wait:   waitDay + "; with multi-party approval a second administrator has to agree first",
		Check:  "A token is asked for with each of the scopes, as " + p.Access.Admin + ".",
		Undo:   "Delete the entry, as the last step in the console.",
		Limits: scopeLimits,
		Console: &Console{Path: pathDelegation + " > Add new", Link: linkDelegation,
			Values: []Value{{"Client ID", p.Access.ClientID}, {"OAuth scopes (comma-delimited)", strings.Join(readScopes, ",")}, enableAPIs},
			Expect: fmt.Sprintf("The list shows the client %s with %d scopes.", p.Access.ClientID, len(readScopes))}}
}

// enableAPIs is done where the service account was made. Without it each request is refused, whatever the scopes.
var enableAPIs = Value{"Before, in the Cloud Shell of the project of the service account", "gcloud services enable cloudidentity.googleapis.com admin.googleapis.com gmail.googleapis.com"}

var scopeLimits = []string{
	"Scopes count by exact text. A wider scope does not stand for a narrower one.",
	"An entry of the same client is overwritten by Add new: take over the scopes that it has, if it is there already.",
}

func (p *Profile) remediationStep() Step {
	r := p.Remediation
	scopes := r.scopes()
	limits := scopeLimits
	switch {
	case p.Access == nil:
	case p.Access.ClientID == r.ClientID: // one entry a client: a second one would replace the first
		scopes = append(slices.Clone(readScopes), r.mailScopes()...)
	default:
		limits = append(slices.Clone(limits), "The two scopes of the directory are needed where this client works alone. Beside the one that reads settings (--mail-key-file, mail-key) they may be left out: that one looks users and groups up.")
	}
	risk := "Whoever holds the key of the service account can read and move the mail of every user."
	if r.Purge {
		risk = "Whoever holds the key of the service account can read and delete the mail of every user, for good."
	}
	return Step{ID: idRemediation, Title: "Let " + p.product() + " take back delivered mail", Object: "delegation client " + r.ClientID, Verb: VerbCreate,
		Why: "A message that turns out to be malicious after delivery is moved to the trash of everybody who got it.", Risk: risk,
		Roles: []string{roleSuper}, Wait: waitDay, Check: p.remediationCheck(), Undo: "Delete the entry.", Limits: limits,
		Console: &Console{Path: pathDelegation + " > Add new", Link: linkDelegation,
			Values: []Value{{"Client ID", r.ClientID}, {"OAuth scopes (comma-delimited)", strings.Join(scopes, ",")}, enableAPIs},
			Expect: fmt.Sprintf("The list shows the client %s with these scopes.", r.ClientID)}}
}

// remediationCheck says which scopes are tried: those of mail always, those of the directory where nothing else tries them.
func (p *Profile) remediationCheck() string {
	out := "A token is asked for with " + strings.Join(p.Remediation.mailScopes(), " and ")
	switch {
	case p.Access == nil:
		return out + ", and with " + strings.Join(directoryScopes, " and ") + "."
	case p.Access.ClientID == p.Remediation.ClientID:
		return out + "; the others are those of the step " + idAccess + "."
	}
	return out + ", and with " + strings.Join(directoryScopes, " and ") + " where only the key of this client is given."
}

func (p *Profile) storageStep() Step {
	return Step{ID: idStorage, Title: "Turn off comprehensive mail storage", Object: "setting Comprehensive mail storage", Verb: VerbDisable,
		Why:   "While it is on, Gmail keeps a copy of mail that it sends to the gateway: blocked mail is in the mailbox all the same, and what comes back is dropped as a duplicate.",
		Risk:  "Baselines of CISA and CIS ask for this setting to be on, for archives of other products. Accept the problem " + problemStorage + " if it has to stay.",
		Needs: []string{idAccess}, Roles: []string{roleSettings}, Wait: waitDay,
		Check: "Policy API: gmail.comprehensive_mail_storage, with its entry in gmail.rule_states, for each organizational unit.",
		Undo:  "Turn it on again, if it was on: write down how it is now.",
		Console: &Console{Path: pathCompliance + " > Comprehensive mail storage", Link: linkCompliance,
			Values: valuesPerUnit(p.units(), Value{"Ensure that a copy of all sent and received mail is stored in associated users' mailboxes", "off"}),
			Expect: "The setting is shown as off, or as not configured, for each of these organizational units and the ones below them."}}
}

func (p *Profile) hostStep() Step {
	var values []Value
	rs := p.regions()
	values = append(values, Value{"Name", p.hostName()})
	switch len(rs) {
	case 1:
		values = append(values, Value{"Specify email server", "Single host"}, Value{"Host name", rs[0].SmartHost}, Value{"Port", strconv.Itoa(rs[0].port())})
	default:
		values = append(values, Value{"Specify email server", "Multiple hosts"},
			Value{"Primary: host name", rs[0].SmartHost}, Value{"Primary: port", strconv.Itoa(rs[0].port())}, Value{"Primary: load %", "100"},
			Value{"Secondary: host name", rs[1].SmartHost}, Value{"Secondary: port", strconv.Itoa(rs[1].port())}, Value{"Secondary: load %", "100"})
	}
	values = append(values, Value{"Perform MX lookup on host", "off"}, Value{"Require mail to be transmitted via a secure (TLS) connection", "on"},
		Value{"Require CA signed certificate", "on"}, Value{"Validate certificate hostname", "on"}, Value{"Then press", "Test TLS connection"})
	return Step{ID: idHost, Title: "Add the host of the gateway", Object: "mail route " + p.hostName(), Verb: VerbCreate,
		Why: "The rule that comes later sends mail there.", Needs: []string{idAccess}, Roles: []string{roleSettings}, Wait: waitDay,
		Check:  "No API shows hosts. The audit log (EMAIL_ROUTE) says that it was made, probe P1 that the host answers with a valid certificate, probe P2 that mail gets there.",
		Undo:   "Delete it, after the rule is gone: a rule whose host is missing has no place to send to.",
		Limits: []string{"The name cannot be empty. Ports: 25, 587, 1024 to 65535; 465 is not taken for a single host.", "The last three labels are worded differently in some consoles."},
		Console: &Console{Path: pathHosts + " > Add route", Link: linkHosts, Values: values,
			Expect: "The TLS test succeeds, and the list of hosts shows " + p.hostName() + "."}}
}

func (p *Profile) gatewayStep() Step {
	reject := "\"" + labelReject + "\" stays off for good in this mode: mail from the internet comes in at Google directly, it would refuse all of it."
	if p.Mode == MXFirst {
		reject = "\"" + labelReject + "\" stays off for now: a later step turns it on."
	}
	trust := "off"
	if p.TrustVerdict {
		trust = "on"
	}
	return Step{ID: idGateway, Title: "Trust mail that comes back from the gateway", Object: "setting Inbound gateway", Verb: VerbUpdate,
		Why:   "What the gateway hands back is not refused for SPF or DMARC of its sender, and what it calls spam goes to Spam. It has to stand before mail comes back.",
		Risk:  "Mail from these addresses is trusted for the sender it names. There is one such setting for the whole organization: add to a list that is there, do not replace it.",
		Needs: []string{idAccess, idHost}, Roles: []string{roleSettings}, Wait: waitDay,
		Check: "No API shows this setting. The audit log says who changed it, probe P4 that clean mail gets to the inbox, probe P5 that tagged mail gets to Spam.",
		Undo:  "Clear the header regexp if it is ours and remove these addresses alone.",
		Limits: []string{reject, "The top organizational unit only. Public addresses only.", "An address that also stands in the email allowlist has no effect there.",
			"If another header regexp stands there, join both: (theirs)|(ours)."},
		Console: &Console{Path: pathSpam + " > Inbound gateway > Edit (top organizational unit)", Link: linkSpam,
			Values: []Value{{"Enable", "on"}, {"Gateway IPs > Add", strings.Join(p.egress(), "\n")}, {"Automatically detect external IP (recommended)", "on"},
				{labelReject, "off"}, {"Require TLS for connections from the email gateways listed above", "on"},
				{"Message is considered spam if the following header regexp matches", "on"}, {"Regexp", p.spamPattern()},
				{"Message is spam if regexp matches", "selected"},
				{"Disable Gmail spam evaluation on mail from this gateway; only use header value", trust}},
			Expect: "The setting is shown as on, with these addresses."}}
}

func (p *Profile) ruleStep(s *Secrets) Step {
	kind, filter := p.filter()
	values := []Value{unitValue(p.units()), {"Name", p.ruleName()},
		{"Email messages to affect", "Inbound"}, {"Expressions", "If ALL of the following match the message"}}
	for _, v := range s.loops() {
		values = append(values, Value{"Expressions > Add > type", "Advanced content match"}, Value{"Location", "Full headers"}, Value{"Match type", "Not contains text"},
			Value{"Content", p.Headers.token() + ": " + v})
	}
	spam := "on"
	if p.LeaveGmailSpam {
		spam = "off"
	}
	accounts := []string{"Users"}
	if !p.SkipGroups {
		accounts = append(accounts, "Groups")
	}
	if !p.SkipUnrecognized {
		accounts = append(accounts, "Unrecognized / Catch-all")
	}
	values = append(values, Value{"If the above expressions match, do the following", "Modify message"},
		Value{"Headers > Add X-Gm-Original-To header", "on"}, Value{"Headers > Add X-Gm-Spam and X-Gm-Phishy headers", "on"},
		Value{"Headers > Add custom headers > Header key", p.Headers.tenant()}, Value{"Headers > Add custom headers > Header value", s.tenant()},
		Value{"Route > Change route", "on"}, Value{"Route > Change route > the list below", p.hostName()}, Value{"Route > Also reroute spam", spam},
		Value{"Envelope recipient > Change envelope recipient", "off"}, Value{"Spam > Bypass spam filter for this message", "off"},
		Value{"Attachments > Remove attachments from message", "off"}, Value{"Encryption (onward delivery only) > Require secure transport (TLS)", "on"},
		Value{"Show options > Account types to affect", strings.Join(accounts, "\n")},
		Value{"Show options > Envelope filter > Only affect specific envelope recipients", kind}, Value{"Envelope filter value", filter})
	limits := []string{"Google checks mail of suspended users and of users without Gmail against no rule.", "For mail to groups X-Gm-Spam and X-Gm-Phishy are always 0.",
		"10,000 characters for one content match. Google names no limit of expressions for one rule; others have met one at 10.",
		"The value of a header is pasted without blanks around it: a blank makes a loop, which Google ends after 50 hops with 554 5.6.0."}
	if len(p.Protect.Groups) > 0 {
		limits = append(limits, "All addresses of the members of "+strings.Join(p.Protect.Groups, ", ")+", aliases too, have to be in "+strings.Join(p.Domains, ", ")+": mail to others goes to the gateway as well, which refuses it.")
	}
	return Step{ID: idRule, Title: "Send inbound mail to the gateway", Object: "content compliance rule " + p.ruleName(), Verb: VerbCreate,
		Why:   "This is what puts mail behind the gateway. Mail that carries the loop secret has been scanned and is left alone.",
		Risk:  "From here on mail depends on the gateway. Begin with a small organizational unit (stage pilot), not with a group: large groups take effect slowly.",
		Needs: []string{idAccess, idStorage, idHost, idGateway}, Roles: []string{roleSettings}, Wait: "before it: until the settings above have had their 24 hours, or P1 and their checks pass; after it: " + waitDay,
		Check:  "Policy API: gmail.content_compliance with its entry in gmail.rule_states, for each organizational unit and the ones below; probe P2.",
		Undo:   "Turn the rule off. Delete it when the gateway has been empty for 24 hours.",
		Limits: limits,
		Console: &Console{Path: pathCompliance + " > Content compliance > Configure, or Add another rule", Link: linkCompliance, Values: values,
			Expect: "The rule " + p.ruleName() + " is listed as enabled for each of the organizational units."}}
}

func (p *Profile) policyFileStep() Step {
	var hosts []string
	for _, d := range p.Domains {
		hosts = append(hosts, "mta-sts."+d)
	}
	return Step{ID: idPolicyFile, Title: "Name the gateway in the MTA-STS policy", Object: "MTA-STS policy of " + strings.Join(p.Domains, ", "), Verb: VerbManual,
		Why:   "A sender that has seen a policy in mode enforce delivers to no host that it does not name (RFC 8461 section 5).",
		Needs: []string{idGateway}, Wait: "as long as max_age of the old policy, which senders may keep; none where there is no policy",
		Check:  "/.well-known/mta-sts.txt names the hosts, and the id in the TXT record is the new one. A domain without such a policy is done.",
		Undo:   "Take the names out again, with another id, after the MX records are back.",
		Limits: []string{"Keep the lines that are there. If the domain has no TXT record at _mta-sts, leave this step out."},
		Console: &Console{Path: "the web server of " + strings.Join(hosts, ", ") + ", and DNS", Link: "https://mta-sts." + p.Domains[0] + "/.well-known/mta-sts.txt",
			Values: append([]Value{{"Lines to add to the policy", "mx: " + strings.Join(p.mxHosts(), "\nmx: ")}}, p.policyRecord("to the gateway")...),
			Expect: "The policy names the hosts of Google and of the gateway."}}
}

// policyRecord is the TXT record of a policy, with an id that no other step gives (RFC 8461 section 3.1: up to 32
// letters and digits).
func (p *Profile) policyRecord(way string) []Value {
	sum := sha256.Sum256([]byte(way + " " + strings.Join(p.mxHosts(), " ")))
	var out []Value
	for _, d := range p.Domains {
		out = append(out, Value{"TXT record _mta-sts." + d, "v=STSv1; id=" + hex.EncodeToString(sum[:10]) + ";"})
	}
	return out
}

func (p *Profile) mxStep() Step {
	var lines []string
	for i, h := range p.mxHosts() {
		lines = append(lines, fmt.Sprintf("%d %s.", (i+1)*10, h))
	}
	return Step{ID: idMX, Title: "Move the MX records to the gateway", Object: "MX records of " + strings.Join(p.Domains, ", "), Verb: VerbManual,
		Why:   "Mail comes to the gateway first.",
		Risk:  "From here on mail depends on the gateway, which also has to know the recipients: what it takes and Google refuses would go back to strangers.",
		Needs: []string{idGateway, idPolicyFile}, Wait: "lower the TTL first and wait as long as the old one; then 48 hours after the change",
		Check: "An MX look-up of each domain names the hosts of the gateway alone; mail still arrives (probe P4).",
		Undo:  "Put the records back: 1 smtp.google.com., or those that were there.",
		Console: &Console{Path: "DNS of " + strings.Join(p.Domains, ", "), Link: "https://admin.google.com/ac/domains/manage",
			Values: []Value{{"MX", strings.Join(lines, "\n")}, {"Remove in the same change, those that are there", oldMX}},
			Expect: "Mail arrives, and its Received fields name the gateway."}}
}

// oldMX are the hosts of Google that MX records name.
const oldMX = "smtp.google.com.\naspmx.l.google.com.\nalt1.aspmx.l.google.com.\nalt2.aspmx.l.google.com.\nalt3.aspmx.l.google.com.\nalt4.aspmx.l.google.com.\n" +
	"aspmx2.googlemail.com.\naspmx3.googlemail.com.\naspmx4.googlemail.com.\naspmx5.googlemail.com."

func (p *Profile) rejectStep() Step {
	return Step{ID: idReject, Title: "Take mail from the gateway only", Object: "setting Inbound gateway", Verb: VerbEnable,
		Why:   "Until then anybody can deliver to Google directly, past the gateway.",
		Risk:  "Mail from anywhere else is refused with a 5xx from here on. Only in mode " + string(MXFirst) + ", and only when no more mail comes directly.",
		Needs: []string{idGateway, idMX}, Roles: []string{roleSettings}, Wait: "48 hours after the MX records moved and probe P5 passed; " + waitDay,
		Check: "Probe P3: a message sent to Google directly is refused. The audit log says who changed the setting.",
		Undo:  "Turn the tick off, before anything else.",
		Console: &Console{Path: pathSpam + " > Inbound gateway > Edit (top organizational unit)", Link: linkSpam,
			Values: []Value{{labelReject, "on"}}, Expect: "The setting is shown with this option on."}}
}

// unitValue says where a setting stands. The console shows the top unit by the name of the organization.
func unitValue(units []string) Value {
	shown := slices.Clone(units)
	for i, u := range shown {
		if u == "/" {
			shown[i] = "the top one, named after the organization"
		}
	}
	return Value{"Organizational unit (on the left, first)", strings.Join(shown, "\n")}
}

// valuesPerUnit repeats where a setting stands in front of what it is set to.
func valuesPerUnit(units []string, v Value) []Value {
	return []Value{unitValue(units), v}
}

// loops are the loop secrets to paste, tenant the newest of the tenant secrets.
func (s *Secrets) loops() []string {
	if s == nil || len(s.Loop) == 0 {
		return []string{shownLoop}
	}
	return s.Loop
}

func (s *Secrets) tenant() string {
	if s == nil || len(s.Tenant) == 0 {
		return shownTenant
	}
	return s.Tenant[0]
}
