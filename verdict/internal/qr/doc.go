// Package qr reads QR codes in pictures that strangers send.
//
//	PNG, JPEG, GIF ── size asked first ── grey, small enough ── gozxing, several ways ── texts
//
// A picture can ask for much memory and time: its size is looked at before it is decoded, decoding ends
// with the time allowed, and the search gives up on a picture that is full of things which look like a corner
// of a code. What panics in a decoder is an error here. QR codes are those of ISO/IEC 18004; they are
// found in any orientation, in black on white or the other way round.
package qr
