package verdict

// attachTable has the codes of package attach.
var attachTable = []Code{}
