package verdict

// impostorTable has the codes of package impostor.
var impostorTable = []Code{}
