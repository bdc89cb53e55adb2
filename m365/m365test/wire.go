package m365test

import (
	"encoding/json"
	"net/http"
	"strings"
)

// writeRows answers as a cmdlet does.
func writeRows(w http.ResponseWriter, out *outcome, next any, _ string) {
	link, _ := next.(string)
	if out == nil {
		out = &outcome{}
	}
	writeJSON(w, http.StatusOK, rowsBody(out, link))
}

func rowsBody(out *outcome, link string) map[string]any {
	body := map[string]any{
		"@odata.context":                 "https://outlook.office365.com/adminapi/beta/$metadata#Collection(Exchange.GenericHashTable)",
		"adminapi.warnings@odata.type":   "#Collection(String)",
		"@adminapi.warnings":             append([]string{}, out.warnings...),
		"@adminapi.confirmationmessage":  out.confirm,
		"@adminapi.undocumented.sidecar": nil,
	}
	if link != "" {
		body["@odata.nextLink"] = link
	}
	rows := make([]map[string]any, len(out.rows))
	for i, o := range out.rows {
		rows[i] = sidecars(o)
	}
	body["value"] = rows
	return body
}

// sidecars adds the keys that tell the type of a field. Lists of one come as a bare string in some fields.
func sidecars(o Object) map[string]any {
	row := map[string]any{"Id@odata.type": "#Exchange.ObjectId", "ObjectState": "Unchanged"}
	for k, v := range o {
		switch v := v.(type) {
		case int:
			row[k+"@data.type"] = "System.Int32"
		case []string:
			row[k+"@odata.type"] = "#Collection(String)"
			if len(v) == 1 && (k == "Roles" || k == "IncidentReportContent") {
				row[k] = v[0]
				continue
			}
		case string:
			if strings.HasPrefix(k, "When") {
				row[k+"@data.type"] = "System.DateTime"
			}
		}
		row[k] = v
	}
	return row
}

// writeError answers as a cmdlet that failed: the outer message never says why.
func writeError(w http.ResponseWriter, status int, class, text string) {
	writeJSON(w, status, errorBody(class, text))
}

func errorBody(class, text string) map[string]any {
	return map[string]any{
		"error": map[string]any{
			"code": "BadRequest", "message": "Invalid Operation",
			"details": []any{map[string]any{"code": "Client", "target": "", "message": "|" + class + "|" + text}},
			"innererror": map[string]any{
				"message": "Error executing cmdlet", "type": "Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
				"internalexception": map[string]any{"message": text, "type": class, "stacktrace": "   at Microsoft.Exchange..."},
			},
		},
		"@adminapi.warnings": []string{},
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
