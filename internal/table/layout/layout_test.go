package layout_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/warmflags/warmflags/internal/table/layout"
)

func TestNamespace(t *testing.T) {
	for _, c := range []struct{ prefix, kind, want string }{
		{"", "features", "features"},
		{"production", "features", "production:features"},
		{"a:b", "segments", "a:b:segments"},
		{":", layout.MarkerInited, "::$inited"},
		{"production", layout.MarkerSync, "production:$sync"},
	} {
		got := layout.Namespace(c.prefix, c.kind)
		assert.Equal(t, c.want, got)
		prefix, kind, ok := layout.SplitNamespace(got)
		assert.True(t, ok)
		assert.Equal(t, []string{c.prefix, c.kind}, []string{prefix, kind})
	}
	for _, wrong := range []string{"", ":features", "production:"} {
		_, _, ok := layout.SplitNamespace(wrong)
		assert.False(t, ok, "%q", wrong)
	}
	assert.True(t, layout.IsMarker(layout.MarkerInited))
	assert.False(t, layout.IsMarker("features"))
	assert.False(t, layout.IsMarker(""))
}

func TestCheckPrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"": "", "production": "", "a:b": "", "prød 😀\t": "", strings.Repeat("p", 512): "",
		strings.Repeat("p", 513): "513 bytes", "a\x00": "SNS refuses", "\xff": "SNS refuses", "\uffff": "SNS refuses",
	} {
		err := layout.CheckPrefix(prefix)
		if want == "" {
			assert.NoError(t, err, prefix)
		} else {
			assert.ErrorContains(t, err, want, prefix)
		}
	}
}
