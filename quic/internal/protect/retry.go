package protect

import "crypto/cipher"

// A RetryKey computes the tags of Retry packets (RFC 9001, Section 5.8). It is for one goroutine.
type RetryKey struct {
	aead    cipher.AEAD
	version *version
	pseudo  []byte // scratch
	tag     [Overhead]byte
}

// NewRetryKey returns the key of a version of QUIC. One that is not known is treated as version 1.
func NewRetryKey(version uint32) *RetryKey {
	v := versionByNumber(version)
	aead, err := newGCM(v.retryKey[:])
	if err != nil {
		panic("BUG: Retry key: " + err.Error())
	}
	return &RetryKey{aead: aead, version: v}
}

// Tag computes the tag of a Retry packet. retry is the packet without the tag;
// origDstID is the destination connection ID of the Initial packet that it answers, of at most 20 bytes in the versions that are known.
// The key is public, so that comparing tags need not take constant time.
func (k *RetryKey) Tag(origDstID, retry []byte) [Overhead]byte {
	k.pseudo = append(k.pseudo[:0], byte(len(origDstID)))
	k.pseudo = append(k.pseudo, origDstID...)
	k.pseudo = append(k.pseudo, retry...)
	k.aead.Seal(k.tag[:0], k.version.retryNonce[:], nil, k.pseudo)
	return k.tag
}

// RetryIntegrityTag is [RetryKey.Tag] for one who needs it once.
func RetryIntegrityTag(version uint32, origDstID, retry []byte) [Overhead]byte {
	return NewRetryKey(version).Tag(origDstID, retry)
}
