package frittata

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/frittata-go/frittata/internal/leak"
	"github.com/frittata-go/frittata/quic"
)

// fill sets every field that a file can have to something that is not zero.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if v.Type().Field(i).Tag.Get("json") == "-" {
			continue
		}
		switch f.Kind() {
		case reflect.Struct:
			fill(f)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(i) + 1)
		case reflect.Uint8, reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(i)%2 + 1)
		}
	}
}

func TestConfigJSON(t *testing.T) {
	var in Config
	fill(reflect.ValueOf(&in).Elem())
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out Config
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("%+v\n%+v", in, out)
	}

	// What is no setting stays, there and here.
	full := serverConfig()
	full.Logger = slog.New(slog.DiscardHandler)
	full.QUIC.StatelessResetKey = &[32]byte{1}
	full.QUIC.InsecureFakeHandshake = true
	if b, err := json.Marshal(full); err != nil || string(b) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
	tlsCfg := full.QUIC.TLS
	if err := json.Unmarshal([]byte(`{"QUIC": {"MaxIdleTimeout": "1m"}, "UDP": {"DisableGSO": true}, "Retry": "always"}`), full); err != nil {
		t.Fatal(err)
	}
	if full.QUIC.MaxIdleTimeout != time.Minute || !full.UDP.DisableGSO || full.Retry != RetryAlways || full.QUIC.TLS != tlsCfg || full.Logger == nil {
		t.Errorf("%+v", full)
	}
	for in, want := range map[string]string{
		`{"Retries": "always"}`:                     `there is no setting "Retries"`,
		`{"QUIC": {"InsecureFakeHandshake": true}}`: `there is no setting "InsecureFakeHandshake"`,
		`{"QUIC": {"StatelessResetKey": [1]}}`:      `there is no setting "StatelessResetKey"`,
		`{"Retry": "maybe"}`:                        `no such RetryPolicy`,
		`{"PendingAge": 5}`:                         `PendingAge: not a duration`,
	} {
		if err := json.Unmarshal([]byte(in), new(Config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
	if _, err := json.Marshal(Config{Retry: 9}); err == nil {
		t.Error("a policy that is none has become text")
	}
	if s := RetryPolicy(9).String(); s != "unknown" {
		t.Error(s)
	}
}

// Settings that can be read and make no sense: the error tells which one it is, and its value.
func TestConfigErrorsNameField(t *testing.T) {
	leak.Check(t)
	for in, want := range map[string]string{
		`{"MaxHandshakes": -1}`:                 "Config.MaxHandshakes is -1",
		`{"MaxPending": -2}`:                    "Config.MaxPending is -2",
		`{"PendingAge": "-3s"}`:                 "Config.PendingAge is -3s",
		`{"InboxBytes": -4}`:                    "Config.InboxBytes is -4",
		`{"QUIC": {"KeepAlive": "-1s"}}`:        "Config.KeepAlive is -1s",
		`{"QUIC": {"HandshakeTimeout": "-2s"}}`: "Config.HandshakeTimeout is -2s",
		`{"QUIC": {"SendBuffer": -3}}`:          "Config.SendBuffer is -3",
		`{"QUIC": {"ConnSendBuffer": -4}}`:      "Config.ConnSendBuffer is -4",
		`{"QUIC": {"DatagramQueue": -5}}`:       "Config.DatagramQueue is -5",
		`{"QUIC": {"InitialWindow": -6}}`:       "Config.InitialWindow is -6",
		`{"QUIC": {"MaxUDPPayload": 1199}}`:     "Config.MaxUDPPayload is 1199",
		`{"QUIC": {"MaxAckDelay": "17s"}}`:      "Config.MaxAckDelay is 17s",
		`{"QUIC": {"ActiveConnIDLimit": 5}}`:    "Config.ActiveConnIDLimit is 5",
	} {
		cfg := serverConfig()
		if err := json.Unmarshal([]byte(in), cfg); err != nil {
			t.Fatal(err)
		}
		refused(t, cfg, want)
	}
	// These no file has, or can have.
	for want, change := range map[string]func(*Config){
		"Config.Retry is 9":                         func(c *Config) { c.Retry = 9 },
		"Config.QUIC.ConnIDs makes IDs of 21 bytes": func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(21) },
		"Config.QUIC.ConnIDs makes IDs of 2 bytes":  func(c *Config) { c.QUIC.ConnIDs = quic.RandomConnIDs(2) },
		"Config.InitialDstIDs makes IDs of 7 bytes": func(c *Config) { c.QUIC.InitialDstIDs = quic.RandomConnIDs(7) },
	} {
		cfg := serverConfig()
		change(cfg)
		refused(t, cfg, want)
	}
	if err := (&quic.Config{TLS: serverConfig().QUIC.TLS, ConnIDs: quic.RandomConnIDs(21)}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "Config.ConnIDs makes IDs of 21 bytes") {
		t.Error(err)
	}
}

// refused has Listen refuse cfg, with an error that says so.
func refused(t *testing.T, cfg *Config, want string) {
	t.Helper()
	l, err := Listen("udp", "127.0.0.1:0", cfg)
	if err == nil {
		_ = l.Close()
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

func ExampleConfig_UnmarshalJSON() {
	cfg := Config{Retry: RetryAlways} // and cfg.QUIC.TLS, which a file does not have
	err := json.Unmarshal([]byte(`{
		"QUIC": {"MaxIdleTimeout": "1m30s", "MaxStreamsBidi": 1000, "EnableDatagrams": true},
		"MaxConns": 20000,
		"UDP": {"ReceiveBuffer": 4194304}
	}`), &cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(b))
	// Output:
	// {
	//   "QUIC": {
	//     "MaxIdleTimeout": "1m30s",
	//     "MaxStreamsBidi": 1000,
	//     "EnableDatagrams": true
	//   },
	//   "Retry": "always",
	//   "MaxConns": 20000,
	//   "UDP": {
	//     "ReceiveBuffer": 4194304
	//   }
	// }
}

var (
	_ json.Marshaler   = quic.Config{}
	_ json.Unmarshaler = (*quic.Config)(nil)
)
