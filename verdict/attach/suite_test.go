package attach_test

import (
	"net"
	"testing"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner { return attach.Scanner{} },
		Hit: func(tb testing.TB) *verdict.Message {
			return message(tb, "a.zip", zipped(file{"b.zip", zipped(file{"invoice.exe", exe})}, file{"c.txt", "hello"}))
		},
		Want: verdict.Malicious,
	})
}
