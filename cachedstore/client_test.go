package cachedstore_test

import (
	"testing"
	"time"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/testhelpers/ldtestdata"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/cachedstore"
)

func TestARealClientInDaemonMode(t *testing.T) {
	x := newTable(t)
	x.put("flag", 1)
	store := cachedstore.New(x, cachedstore.TTL(time.Hour))
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore: store, DataSource: ldcomponents.ExternalUpdatesOnly(), Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	require.NoError(t, err)
	assert.True(t, client.GetDataStoreStatusProvider().IsStatusMonitoringEnabled())

	value, detail, err := client.IntVariationDetail("flag", ldcontext.New("u"), 0)
	require.NoError(t, err)
	assert.Equal(t, 1, value)
	assert.Equal(t, ldreason.EvalReasonFallthrough, detail.Reason.GetKind())
	_, detail, err = client.IntVariationDetail("unknown", ldcontext.New("u"), 0)
	require.Error(t, err)
	assert.Equal(t, ldreason.EvalErrorFlagNotFound, detail.Reason.GetErrorKind())

	x.put("flag", 2)
	s := system{store: store}
	s.invalidate("flag", 2)
	flags := client.AllFlagsState(ldcontext.New("u"))
	assert.Equal(t, ldvalue.Int(2), flags.GetValue("flag"))
	require.NoError(t, client.Close())
	assert.Zero(t, x.writes, "daemon mode is read only")
	assert.Equal(t, 1, x.closed)
}

// A client that is not in daemon mode writes through, and reads what it wrote.
func TestARealClientThatWrites(t *testing.T) {
	x := newTable(t)
	data := ldtestdata.DataSource()
	data.Update(data.Flag("flag").ValueForAll(ldvalue.Int(1)))
	client, err := ld.MakeCustomClient("", ld.Config{
		DataStore: cachedstore.New(x, cachedstore.TTL(time.Hour)), DataSource: data, Events: ldcomponents.NoEvents(),
		Logging: ldcomponents.Logging().MinLevel(ldlog.None),
	}, time.Second)
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	assert.Equal(t, 1, x.writes, "Init")
	data.Update(data.Flag("flag").ValueForAll(ldvalue.Int(2)))
	value, err := client.IntVariation("flag", ldcontext.New("u"), 0)
	require.NoError(t, err)
	assert.Equal(t, 2, value)
	assert.Equal(t, 2, x.writes)
}

func TestDescribeConfigurationAsksTheInnerStore(t *testing.T) {
	assert.Equal(t, ldvalue.String("custom"), cachedstore.New(newTable(t)).DescribeConfiguration(nil))
}
