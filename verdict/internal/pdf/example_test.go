package pdf_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/pdf"
)

func ExampleInspect() {
	file := "%PDF-1.4\n1 0 obj <</OpenAction <</S /J#61vaScript /JS (app.alert\\(1\\))>>>> endobj"
	rep, err := pdf.Inspect(context.Background(), strings.NewReader(file), int64(len(file)), pdf.Limits{})
	fmt.Println(rep.OpenAction, rep.Scripts, err)
	// Output: true [app.alert(1)] <nil>
}
