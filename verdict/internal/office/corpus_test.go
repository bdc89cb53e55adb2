package office_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"path"
	"strings"
	"testing"

	. "github.com/postreeve/postreeve/verdict/internal/inspect/inspecttest"
	"github.com/postreeve/postreeve/verdict/internal/office"
)

// TestCorpus holds the facts against the labels of the corpus: what is malicious shows by the right fact,
// and what is benign shows none that is not true of it.
func TestCorpus(t *testing.T) {
	t.Parallel()
	for _, s := range Samples(t, "att-oletools/", "att-encrypted-office/", "att-poi/", "att-onenote-lnk/mscfb/", "att-strelka/test.docx", "att-strelka/test_password_brute.docx") {
		t.Run(s.Path, func(t *testing.T) {
			t.Parallel()
			got, err := office.Inspect(t.Context(), bytes.NewReader(s.Data), int64(len(s.Data)), office.Limits{})
			if strings.HasSuffix(s.Path, ".csv") {
				got, err = office.InspectTable(t.Context(), s.Data, office.Limits{})
			}
			for _, f := range got.Files {
				Content(t, f)
			}
			kind, malicious := strings.CutPrefix(s.Label, "malicious-type:")
			switch {
			case isEncryptedZip(s.Data):
			case malicious:
				if !shows(kind, got) {
					t.Errorf("nothing shows %s: %v, %+v", kind, err, got)
				}
			case s.Label == "benign-attachment" && got.Format != "":
				clean(t, s.Path, got, err)
			}
		})
	}
}

// isEncryptedZip says whether only the right password leads to the document.
func isEncryptedZip(data []byte) bool {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	return err == nil && len(z.File) > 0 && z.File[0].Flags&1 != 0
}

func shows(kind string, r *office.Report) bool {
	switch kind {
	case "macro":
		return r.Project && r.HasCode()
	case "xlm-macro":
		return len(r.Macros) > 0 && r.Macros[0].Lang == office.XLM && len(r.Macros[0].AutoExec) > 0
	case "dde": // some have an embedded object under this label
		return len(r.DDE) > 0 || len(r.Files) > 0 && len(r.Objects) > 0 && r.Objects[0].Class == "Package"
	case "embedded-lnk": // a link to a program, in a package
		return len(r.Objects) > 0 && r.Objects[0].Class == "Package" && len(r.Links) > 0
	case "external-template":
		return len(r.Links) > 0 && r.Links[0].Auto && strings.HasPrefix(r.Links[0].Target, "https://")
	case "encrypted-document":
		return r.Encrypted && r.Scheme != ""
	case "xml-bomb":
		return len(r.Doctypes) > 0
	}
	return false
}

// withMacros are presentations whose label says that they have no macro. They do have one.
var withMacros = map[string]bool{"SimpleMacro.ppt": true, "WithMacros.ppt": true}

func clean(t *testing.T, name string, r *office.Report, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("cannot be read: %v", err)
	}
	if len(r.Macros) > 0 != withMacros[path.Base(name)] {
		t.Errorf("macros: %+v", r.Macros)
	}
	if len(r.DDE) > 0 || r.Encrypted || len(r.Doctypes) > 0 || len(r.OnLoad) > 0 {
		t.Errorf("not clean: %+v", r)
	}
	for _, l := range r.Links {
		if l.Auto {
			t.Errorf("link that is followed by itself: %+v", l)
		}
	}
}

// TestCorpusCutOff cuts documents off at every so many bytes: no panic, and no error of another kind.
func TestCorpusCutOff(t *testing.T) {
	t.Parallel()
	for _, s := range Samples(t, "att-oletools/excel4", "att-oletools/oleobj/embedded-simple-2007.ppt", "att-poi/slideshow/SimpleMacro.ppt", "att-poi/hsmf/attachment") {
		t.Run(s.Path, func(t *testing.T) {
			t.Parallel()
			for n := range 40 {
				data := s.Data[:len(s.Data)*n/40]
				_, err := office.Inspect(t.Context(), bytes.NewReader(data), int64(len(data)), office.Limits{})
				if err != nil && !errors.Is(err, office.ErrFormat) {
					t.Errorf("cut at %d: %v", len(data), err)
				}
				if err != nil && strings.Contains(err.Error(), "gave up") {
					t.Errorf("cut at %d: %v", len(data), err)
				}
			}
		})
	}
}
