package office_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/office"
)

func ExampleInspect() {
	document := `{\rtf1{\*\template http://templates.example/letter.dotm}}`
	rep, err := office.Inspect(context.Background(), strings.NewReader(document), int64(len(document)), office.Limits{})
	if err != nil {
		fmt.Println(err)
	}
	for _, l := range rep.Links {
		fmt.Println(rep.Format, l.Kind, l.Target, l.Auto)
	}
	// Output: rtf template http://templates.example/letter.dotm true
}
