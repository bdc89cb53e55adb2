package verdict

// linksTable has the codes of package links.
var linksTable = []Code{}
