package protect

// RetryIntegrityTag computes the tag of a Retry packet (RFC 9001, Section 5.8). retry is the packet without the tag;
// origDstID is the destination connection ID of the Initial packet that it answers, of at most 20 bytes in the versions that are known.
// A version that is not known is treated as version 1.
// Its key is public, so that comparing tags need not take constant time.
func RetryIntegrityTag(version uint32, origDstID, retry []byte) [Overhead]byte {
	v := versionByNumber(version)
	aead, err := newGCM(v.retryKey[:])
	if err != nil {
		panic("BUG: Retry key: " + err.Error())
	}
	pseudo := make([]byte, 0, 1+len(origDstID)+len(retry))
	pseudo = append(pseudo, byte(len(origDstID)))
	pseudo = append(pseudo, origDstID...)
	pseudo = append(pseudo, retry...)
	var tag [Overhead]byte
	copy(tag[:], aead.Seal(nil, v.retryNonce[:], nil, pseudo))
	return tag
}
