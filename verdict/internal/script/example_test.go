package script_test

import (
	"context"
	"fmt"

	"github.com/postreeve/postreeve/verdict/internal/script"
)

func ExampleInspect() {
	page := `<script>location.replace("https://login.example/")</script><input type=password>`
	rep, err := script.Inspect(context.Background(), []byte(page), script.Limits{})
	fmt.Println(rep.Redirects, rep.Password, err)
	// Output: [{script https://login.example/}] true <nil>
}
