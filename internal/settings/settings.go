// Package settings writes structs of settings to JSON and reads them back, for
// files that people edit: what has its zero value is left out, durations are
// strings such as "30s", and a name that is not known is an error.
//
// The settings are the exported fields, but for those that are tagged json:"-"
// and for pointers, functions, interfaces and channels, which no file can have.
// A struct that has no methods for JSON of its own is treated likewise.
package settings

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

var (
	duration        = reflect.TypeFor[time.Duration]()
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Marshal returns the settings of the struct v as a JSON object, in the order of the fields.
func Marshal(v any) ([]byte, error) { return appendStruct(nil, reflect.ValueOf(v)) }

func appendStruct(b []byte, v reflect.Value) ([]byte, error) {
	b = append(b, '{')
	first := true
	for i, f := range fields(v.Type()) {
		if f == nil || v.Field(i).IsZero() {
			continue
		}
		value, err := marshalField(v.Field(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if string(value) == "{}" {
			continue // all that is set is no setting
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, f.Name...)
		b = append(b, '"', ':')
		b = append(b, value...)
	}
	return append(b, '}'), nil
}

func marshalField(v reflect.Value) ([]byte, error) {
	switch t := v.Type(); {
	case t == duration:
		return json.Marshal(time.Duration(v.Int()).String())
	case t.Kind() == reflect.Struct && !t.Implements(jsonMarshaler) && !t.Implements(textMarshaler):
		return appendStruct(nil, v)
	}
	return json.Marshal(v.Interface())
}

// Unmarshal sets the settings of *p, a struct, that the JSON object has, and
// leaves the others as they are. After an error some may have been set.
func Unmarshal(b []byte, p any) error { return setStruct(b, reflect.ValueOf(p).Elem()) }

func setStruct(b []byte, v reflect.Value) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	for i, f := range fields(v.Type()) {
		if f == nil {
			continue
		}
		value, ok := values[f.Name]
		if !ok {
			continue
		}
		delete(values, f.Name)
		if err := setField(value, v.Field(i)); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	var unknown []string
	for name := range values {
		unknown = append(unknown, name)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("there is no setting %q", unknown[0])
	}
	return nil
}

func setField(b []byte, v reflect.Value) error {
	switch t := v.Type(); {
	case t == duration:
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("not a duration such as \"30s\": %w", err)
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return err
		}
		v.SetInt(int64(d))
		return nil
	case t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(jsonUnmarshaler) && !reflect.PointerTo(t).Implements(textUnmarshaler):
		return setStruct(b, v)
	}
	return json.Unmarshal(b, v.Addr().Interface())
}

// fields returns those that are settings, by index, and nil for the others.
func fields(t reflect.Type) []*reflect.StructField {
	list := make([]*reflect.StructField, t.NumField())
	for i := range list {
		f := t.Field(i)
		if !f.IsExported() || f.Tag.Get("json") == "-" {
			continue
		}
		switch f.Type.Kind() {
		case reflect.Pointer, reflect.Func, reflect.Interface, reflect.Chan:
			continue
		}
		list[i] = &f
	}
	return list
}
