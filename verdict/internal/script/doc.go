// Package script looks at what runs or pretends in an attachment that a browser or the script host of
// Windows opens: HTML, SVG, HTA, WSF, and plain JavaScript or VBScript.
//
// It runs nothing. It knows the ways in which a file is carried in a page and put together on the
// computer of the reader (HTML smuggling), and decodes what is written down in one piece: base64,
// hexadecimal digits, character codes and percent escapes, also in pieces that are joined with a plus.
package script
