package m365

import "strings"

// roleFor names the right that a cmdlet needs: the role of Exchange, and the directory role that contains
// it.
func roleFor(cmdlet string) string {
	verb, noun, _ := strings.Cut(cmdlet, "-")
	read := verb == "Get"
	switch {
	case strings.HasSuffix(noun, "TransportRule"):
		return pick(read, "the directory role Security Reader", "the role Transport Rules, or the directory role Exchange Administrator")
	case strings.HasSuffix(noun, "Connector"), noun == "AcceptedDomain":
		return pick(read, "the role View-Only Configuration, or the directory role Global Reader",
			"the role Remote and Accepted Domains, or the directory role Exchange Administrator")
	case strings.HasPrefix(noun, "Hosted"), noun == "EOPProtectionPolicyRule", noun == "ATPProtectionPolicyRule", noun == "AntiPhishPolicy":
		return pick(read, "the directory role Security Reader", "the role Transport Hygiene, or the directory role Security Administrator")
	case strings.HasPrefix(noun, "TenantAllowBlockList"), noun == "ArcConfig":
		return pick(read, "the directory role Security Reader",
			"the role Tenant AllowBlockList Manager, or the directory role Security Administrator")
	case strings.HasPrefix(noun, "Organization"):
		return pick(read, "the directory role Global Reader", "the role Organization Configuration, or the directory role Exchange Administrator")
	case strings.HasPrefix(noun, "RoleGroup"), noun == "ServicePrincipal":
		return "the role Role Management, or the directory role Exchange Administrator"
	case strings.HasPrefix(noun, "MessageTrace"):
		return "the directory role Security Reader"
	case noun == "Recipient":
		return "the role View-Only Recipients, or the directory role Global Reader"
	}
	return ""
}

func pick(read bool, r, w string) string {
	if read {
		return r
	}
	return w
}
