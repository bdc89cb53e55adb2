package config

import (
	"math"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/verdict"
)

// Weight is what findings of one code are to weigh. Nil leaves what the scanner says.
type Weight struct {
	Score *float64
	Class *verdict.Class
}

func scan(s *Scan) reader {
	return func(d *decoder, v value) {
		d.mapping(v, fields{
			"timeout":           duration(&s.Timeout),
			"scanner-timeout":   duration(&s.ScannerTimeout),
			"on-error":          oneOf(&s.OnError, classes),
			"stop-at-malicious": boolean(&s.StopAtMalicious),
			"spam-score":        threshold(&s.SpamScore),
			"malicious-score":   threshold(&s.MaliciousScore),
		})
		if m := s.MaliciousScore; m > 0 {
			spam := s.SpamScore
			if spam == 0 {
				spam = verdict.DefaultSpamScore
			}
			if m < spam {
				d.failKey(v.path+".malicious-score", "%v is below spam-score (%v): weak evidence would make messages malicious and never spam", m, spam)
			}
			d.warn(v.path+".malicious-score", "weak evidence alone makes messages malicious: see what a domain's policy does with those")
		}
	}
}

// threshold reads a positive score. The word never becomes -1.
func threshold(dst *float64) reader {
	return func(d *decoder, v value) {
		if s, ok := v.node.(*ast.StringNode); ok && s.Value == "never" {
			*dst = -1
			return
		}
		f, ok := number(v.node)
		if !ok || f <= 0 || f > 1000 {
			d.fail(v, "wants a score above 0, as in 5 or 7.5, or never")
			return
		}
		*dst = f
	}
}

func number(n ast.Node) (float64, bool) {
	if i, ok := whole(n); ok {
		return float64(i), true
	}
	f, ok := n.(*ast.FloatNode)
	if !ok || math.IsNaN(f.Value) || math.IsInf(f.Value, 0) {
		return 0, false
	}
	return f.Value, true
}

// weights reads what codes are to weigh: a score, a class, or {score, class}.
func weights(dst *map[string]Weight) reader {
	return func(d *decoder, v value) {
		known := map[string]bool{}
		var names []string
		for _, c := range verdict.Codes() {
			known[c.Code] = true
			names = append(names, c.Code)
		}
		*dst = map[string]Weight{}
		for code, item := range d.entries(v) {
			noun, _, _ := strings.Cut(code, ".")
			if !known[code] && !isOneOf(noun, "webhook", "exec") {
				d.failAt(d.keys[item.path], item.path, "there is no such code: %s", nearestCode(code, names))
				continue
			}
			if isOneOf(noun, "scanner", "sender", "policy") {
				d.failAt(d.keys[item.path], item.path, "no scanner finds this: on-error, max-size and the policies of domains say what it means")
				continue
			}
			w := Weight{}
			switch item.node.(type) {
			case ast.MapNode:
				d.mapping(item, fields{"score": score(&w.Score), "class": scannerClass(&w.Class)})
			case *ast.StringNode:
				scannerClass(&w.Class)(d, item)
			default:
				score(&w.Score)(d, item)
			}
			(*dst)[code] = w
		}
	}
}

func score(dst **float64) reader {
	return func(d *decoder, v value) {
		f, ok := number(v.node)
		if !ok || math.Abs(f) > 1000 {
			d.fail(v, "wants a score, as in 2, 0.5 or 0; or a class: unknown, clean, spam, malicious")
			return
		}
		*dst = &f
	}
}

// nearestCode names the code that was meant, or says where they are listed: there are too many to repeat.
func nearestCode(code string, names []string) string {
	if near := nearest(code, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "postreeve codes lists them"
}
