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
	if address := os.Getenv(rieAgent); address != "" {
		askingFunction(address)
	}
	os.Exit(emulator.Main(m))
}
