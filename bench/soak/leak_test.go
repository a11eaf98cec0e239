package main

import (
	"testing"

	"github.com/frittata-go/frittata/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
