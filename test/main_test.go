package test

import (
	"os"
	"testing"

	"github.com/warmflags/warmflags/test/emulator"
)

func TestMain(m *testing.M) { os.Exit(emulator.Main(m)) }
