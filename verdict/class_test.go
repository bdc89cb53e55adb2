package verdict_test

import (
	"encoding/json"
	"testing"

	"github.com/postreeve/postreeve/verdict"
)

func TestClassText(t *testing.T) {
	t.Parallel()
	for class, name := range map[verdict.Class]string{
		verdict.Unknown: "unknown", verdict.Clean: "clean", verdict.Spam: "spam", verdict.Malicious: "malicious",
	} {
		text, err := json.Marshal(class)
		if err != nil || string(text) != `"`+name+`"` || class.String() != name {
			t.Errorf("%v: %s, %v", class, text, err)
		}
		back := verdict.Class(99)
		if err := json.Unmarshal(text, &back); err != nil || back != class {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	for _, text := range []string{`""`, `"Clean"`, `"clean "`, `"virus"`, `1`} {
		c := verdict.Malicious
		if err := json.Unmarshal([]byte(text), &c); err == nil || c != verdict.Malicious {
			t.Errorf("%s: %v, %v; want an error and nothing changed", text, c, err)
		}
	}
	if text, err := verdict.Class(4).MarshalText(); err == nil {
		t.Errorf("class 4: %s", text)
	}
	if got := verdict.Class(4).String(); got != "class(4)" {
		t.Errorf("class 4: %s", got)
	}
}

// The order of the classes is what makes the highest one a safe merge, and the zero value fails closed.
func TestClassOrder(t *testing.T) {
	t.Parallel()
	var zero verdict.Class
	if zero != verdict.Unknown || verdict.Unknown >= verdict.Clean || verdict.Clean >= verdict.Spam || verdict.Spam >= verdict.Malicious {
		t.Error("the classes are out of order")
	}
}
