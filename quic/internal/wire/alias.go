package wire

import "github.com/frittata-go/frittata/quic/internal/ranges"

type rangesRange = ranges.Range
