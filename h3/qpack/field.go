package qpack

// Field is a header field line.
type Field struct {
	// Name is in lower case when decoded. When encoded, capital letters are
	// turned into small ones unless Encoder.KeepCase is set.
	Name, Value string
	// Sensitive fields are encoded as literals that no intermediary may put
	// into a table (RFC 9204, Section 7.1.3); a decoder tells that bit.
	Sensitive bool
}

// Size returns what the field counts against a limit on field sections
// (RFC 9114, Section 4.2.2), in bytes.
func (f *Field) Size() uint64 { return uint64(len(f.Name)) + uint64(len(f.Value)) + FieldOverhead }

// FieldOverhead is what each field counts beside its name and value, in bytes.
const FieldOverhead = 32
