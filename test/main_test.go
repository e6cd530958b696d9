package test

import (
	"os"
	"testing"

	"github.com/warmflags/warmflags/test/emulator"
)

func TestMain(m *testing.M) {
	if events := os.Getenv(rieEvents); events != "" {
		rieFunction(events)
	}
	os.Exit(emulator.Main(m))
}
