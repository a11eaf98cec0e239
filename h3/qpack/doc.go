// Package qpack is the field compression of HTTP/3 (RFC 9204) as a pure state
// machine. It uses the static table and Huffman coding; the dynamic table's
// capacity is 0 in both directions, which peers have to respect.
package qpack
