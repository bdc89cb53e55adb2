package m365

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MarshalJSON writes {"empty":"table"}, so that a stored call keeps what it says.
func (e Empty) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"empty": first(string(e), string(EmptyTable))})
}

// UnmarshalJSON reads parameters as they were marshalled: numbers become int, lists []string, objects
// [Edit] or [Empty].
func (p *Params) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if raw == nil {
		*p = nil
		return nil
	}
	out := make(Params, len(raw))
	for k, v := range raw {
		got, err := paramValue(v)
		if err != nil {
			return fmt.Errorf("m365: parameter %s: %w", k, err)
		}
		out[k] = got
	}
	*p = out
	return nil
}

func paramValue(b json.RawMessage) (any, error) {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || isNull(b):
		return nil, errors.New("null is written as Empty")
	case b[0] == '[':
		var s []string
		err := json.Unmarshal(b, &s)
		return s, err
	case b[0] == '{':
		var obj struct {
			Add, Remove []string
			Empty       *Empty
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&obj); err != nil && err != io.EOF {
			return nil, err
		}
		if obj.Empty != nil {
			return *obj.Empty, nil
		}
		return Edit{Add: obj.Add, Remove: obj.Remove}, nil
	case b[0] == '"':
		var s string
		err := json.Unmarshal(b, &s)
		return s, err
	case b[0] == 't' || b[0] == 'f':
		var v bool
		err := json.Unmarshal(b, &v)
		return v, err
	}
	var n int
	err := json.Unmarshal(b, &n)
	return n, err
}
