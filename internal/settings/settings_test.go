package settings

import (
	"strings"
	"testing"
	"time"
)

type inner struct {
	Flag bool
	Wait time.Duration
}

type color uint8

func (c color) MarshalText() ([]byte, error) { return []byte(strings.Repeat("r", int(c))), nil }
func (c *color) UnmarshalText(b []byte) error {
	*c = color(len(b))
	return nil
}

type outer struct {
	N      int
	Big    uint64
	Wait   time.Duration
	Color  color
	Inner  inner
	Func   func()
	Ptr    *int
	Any    any
	Secret string `json:"-"`
	hidden int
}

func TestRoundTrip(t *testing.T) {
	n := 1
	in := outer{
		N: -1, Big: 1<<64 - 1, Wait: 1500 * time.Millisecond, Color: 3, Inner: inner{Flag: true, Wait: -time.Hour},
		Func: func() {}, Ptr: &n, Any: 1, Secret: "s", hidden: 1,
	}
	b, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"N":-1,"Big":18446744073709551615,"Wait":"1.5s","Color":"rrr","Inner":{"Flag":true,"Wait":"-1h0m0s"}}`
	if string(b) != want {
		t.Errorf("%s", b)
	}
	var out outer
	if err := Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if out.N != in.N || out.Big != in.Big || out.Wait != in.Wait || out.Color != in.Color || out.Inner != in.Inner {
		t.Errorf("%+v", out)
	}
	if out.Func != nil || out.Ptr != nil || out.Any != nil || out.Secret != "" || out.hidden != 0 {
		t.Errorf("%+v", out)
	}
}

func TestZeroIsLeftOut(t *testing.T) {
	n := 1
	if b, err := Marshal(outer{Ptr: &n}); err != nil || string(b) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
	v := outer{N: 5, Secret: "s", Inner: inner{Flag: true}}
	if err := Unmarshal([]byte(`{"Big":7,"Inner":{"Wait":"1s"}}`), &v); err != nil {
		t.Fatal(err)
	}
	if v.N != 5 || v.Big != 7 || v.Secret != "s" || !v.Inner.Flag || v.Inner.Wait != time.Second {
		t.Errorf("%+v", v)
	}
}

func TestErrors(t *testing.T) {
	for in, want := range map[string]string{
		`{"M":1}`:                  `there is no setting "M"`,
		`{"n":1}`:                  `there is no setting "n"`,
		`{"Secret":"x"}`:           `there is no setting "Secret"`,
		`{"Func":null}`:            `there is no setting "Func"`,
		`{"hidden":1}`:             `there is no setting "hidden"`,
		`{"Inner":{"Flags":true}}`: `Inner: there is no setting "Flags"`,
		`{"Wait":30}`:              `Wait: not a duration`,
		`{"Wait":"30"}`:            `Wait: time: missing unit`,
		`{"Big":-1}`:               `Big: `,
		`{"N":"1"}`:                `N: `,
		`[]`:                       `cannot unmarshal array`,
		`{"N":1}}`:                 `invalid character`,
	} {
		var v outer
		if err := Unmarshal([]byte(in), &v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
