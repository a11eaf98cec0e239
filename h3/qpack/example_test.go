package qpack_test

import (
	"fmt"

	"github.com/frittata-go/frittata/h3/qpack"
)

func Example() {
	var e qpack.Encoder
	section := e.AppendSection(nil, []qpack.Field{
		{Name: ":status", Value: "200"},
		{Name: "Content-Type", Value: "text/html"},
	})
	fmt.Printf("%d bytes\n", len(section))

	var d qpack.Decoder
	fields, err := d.Decode(nil, section, 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range fields {
		fmt.Printf("%s: %s\n", f.Name, f.Value)
	}
	// Output:
	// 13 bytes
	// :status: 200
	// content-type: text/html
}
