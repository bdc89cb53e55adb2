// Package xmlscan splits XML into tokens, for looking at what others wrote and never for believing it.
//
// It expands no entity but the five of XML and numbers, fetches nothing, keeps no stack and holds one tag
// at a time, so no document makes it work or grow more than in proportion to its length. Documents that
// are not well-formed are read on. UTF-8 and UTF-16 are understood; of other encodings, ASCII.
package xmlscan
