package main

import (
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/uber/cadence/common/config"
	"github.com/uber/cadence/common/dynamicconfig"
	"github.com/uber/cadence/common/dynamicconfig/dynamicproperties"
	ringpopconfig "github.com/uber/cadence/common/peerprovider/ringpopprovider/config"
	_ "github.com/uber/cadence/common/persistence/sql/sqlplugin/sqlite"
	"github.com/uber/cadence/schema/sqlite"
	schematool "github.com/uber/cadence/tools/common/schema"
	sqltool "github.com/uber/cadence/tools/sql"
)

const (
	mainStore       = "main"
	visibilityStore = "visibility"
	clusterName     = "cluster0"
	historyShards   = 4
	maxMessage      = 32 << 20
)

func buildConfig(o options) (*config.Config, error) {
	endpoint := func(offset int) config.Service {
		return config.Service{RPC: config.RPC{
			Port:            uint16(o.port + 100 + offset),
			GRPCPort:        uint16(o.port + offset),
			BindOnLocalHost: true,
			GRPCMaxMsgSize:  maxMessage,
		}}
	}
	host := func(p int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p)) }
	db := func(file string) config.DataStore {
		return config.DataStore{SQL: &config.SQL{
			PluginName:        "sqlite",
			DatabaseName:      filepath.Join(o.dir, file),
			MaxConns:          1,
			MaxIdleConns:      1,
			ConnectAttributes: map[string]string{"_pragma.synchronous": "OFF"},
		}}
	}
	c := &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     mainStore,
			VisibilityStore:  visibilityStore,
			NumHistoryShards: historyShards,
			DataStores: map[string]config.DataStore{
				mainStore:       db("cadence.db"),
				visibilityStore: db("visibility.db"),
			},
		},
		Ringpop: ringpopconfig.Config{
			Name:            "cadence",
			BootstrapMode:   ringpopconfig.BootstrapModeHosts,
			BootstrapHosts:  []string{host(o.port + 100), host(o.port + 101), host(o.port + 102)},
			MaxJoinDuration: 30 * time.Second,
		},
		Services: map[string]config.Service{
			"frontend": endpoint(0),
			"history":  endpoint(1),
			"matching": endpoint(2),
		},
		ClusterGroupMetadata: &config.ClusterGroupMetadata{
			FailoverVersionIncrement: 10,
			PrimaryClusterName:       clusterName,
			CurrentClusterName:       clusterName,
			ClusterRedirectionPolicy: &config.ClusterRedirectionPolicy{Policy: "noop"},
			ClusterGroup: map[string]config.ClusterInformation{
				clusterName: {Enabled: true, RPCAddress: host(o.port), RPCTransport: "grpc"},
			},
		},
	}
	return c, c.ValidateAndFillDefaults()
}

// prepareSchema makes or upgrades both databases from the files embedded in the cadence module.
func prepareSchema(cfg *config.Config) error {
	stdlog.SetOutput(io.Discard) // the schema tool prints every statement
	defer stdlog.SetOutput(os.Stderr)
	for store, sub := range map[string]string{mainStore: "cadence", visibilityStore: "visibility"} {
		files, err := fs.Sub(sqlite.SchemaFS, sub+"/versioned")
		if err != nil {
			return err
		}
		// Left open on purpose: an in-memory database lives as long as its pool.
		conn, err := sqltool.NewConnection(cfg.Persistence.DataStores[store].SQL)
		if err != nil {
			return err
		}
		if _, err := conn.ReadSchemaVersion(); err != nil {
			if err := schematool.SetupFromConfig(&schematool.SetupConfig{InitialVersion: "0.0"}, conn); err != nil {
				return fmt.Errorf("%s setup: %w", store, err)
			}
		}
		if err := schematool.NewUpdateSchemaTask(conn, &schematool.UpdateConfig{
			DBName:   cfg.Persistence.DataStores[store].SQL.DatabaseName,
			SchemaFS: files,
		}).Run(); err != nil {
			return fmt.Errorf("%s update: %w", store, err)
		}
	}
	return nil
}

func dynamicValues() (dynamicconfig.Client, error) {
	dyn := dynamicconfig.NewInMemoryClient()
	for key, value := range map[dynamicproperties.Key]any{
		dynamicproperties.WriteVisibilityStoreName: "db",
		dynamicproperties.ReadVisibilityStoreName:  "db",
		dynamicproperties.MinRetentionDays:         0,
		// Health answers ok=false for 30 s otherwise, though calls are served.
		dynamicproperties.FrontendWarmupDuration: time.Millisecond,
		// Also how often the task reader looks again for tasks it missed (default 1 min).
		dynamicproperties.MatchingUpdateAckInterval: time.Second,
		// Queue readers look again this often for tasks whose notice they missed (default 1 min).
		dynamicproperties.TransferProcessorMaxPollInterval: time.Second,
		// The older timer queue ends the server at times: "processing queue read level moved backward" (1.4.1).
		dynamicproperties.EnableTimerQueueV2: true,
	} {
		if err := dyn.UpdateValue(key, value); err != nil {
			return nil, fmt.Errorf("dynamic value %v: %w", key, err)
		}
	}
	return dyn, nil
}
