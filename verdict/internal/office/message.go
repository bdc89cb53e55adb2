package office

import (
	"io"
	"strings"

	"github.com/postreeve/postreeve/verdict/internal/cfb"
)

// attachPrefix begins the name of the storage of an attachment (MS-OXMSG section 2.2.2).
const attachPrefix = "__attach_version1.0_"

// attachment gathers the streams of an attachment of an Outlook message.
type attachment struct {
	long, short, display string
	data                 *cfb.Entry
}

func (o *oleFile) attachment(path string) *attachment {
	a := o.attached[path]
	if a == nil {
		a = &attachment{}
		o.attached[path] = a
		o.order = append(o.order, path)
	}
	return a
}

// messageStream looks at a stream of an Outlook message: a property, named by its tag.
func (in *inspector) messageStream(o *oleFile, e *cfb.Entry) error {
	if strings.EqualFold(e.Name, "__properties_version1.0") {
		in.app(o, e, "outlook")
		return nil
	}
	tag, ok := strings.CutPrefix(strings.ToUpper(e.Name), "__SUBSTG1.0_")
	if !ok || len(tag) < 8 {
		return nil
	}
	dir := strings.TrimSuffix(strings.TrimSuffix(e.Path, e.Name), "/")
	last := dir[strings.LastIndexByte(dir, '/')+1:]
	if !strings.HasPrefix(strings.ToLower(last), attachPrefix) {
		if tag == "10130102" && last != "__nameid_version1.0" { // body in HTML
			return in.stream("body.html", o.at(e), e.Size, func() (io.Reader, error) { return o.Open(e), nil })
		}
		return nil
	}
	a := o.attachment(dir)
	var err error
	switch tag[:4] {
	case "3701":
		if tag == "37010102" {
			a.data = e
		}
	case "3707":
		a.long, err = in.property(o, e, tag)
	case "3704":
		a.short, err = in.property(o, e, tag)
	case "3001":
		a.display, err = in.property(o, e, tag)
	}
	return err
}

func (in *inspector) property(o *oleFile, e *cfb.Entry, tag string) (string, error) {
	b, err := o.small(in, e, maxText)
	if strings.HasSuffix(tag, "001F") {
		return strings.TrimRight(wide(b), "\x00"), err
	}
	return strings.TrimRight(latin1(b), "\x00"), err
}

// attachments adds what was gathered. An attached message is a storage: its parts are found like those
// of the message itself.
func (in *inspector) attachments(o *oleFile) error {
	for _, path := range o.order {
		a := o.attached[path]
		if a.data == nil {
			continue
		}
		name := a.long
		for _, n := range []string{a.short, a.display} {
			if name == "" {
				name = n
			}
		}
		err := in.stream(name, o.at(a.data), a.data.Size, func() (io.Reader, error) { return o.Open(a.data), nil })
		if err != nil {
			return err
		}
	}
	return nil
}
