package main

import (
	"fmt"
	"os"

	"github.com/uber-go/tally"
	apiv1 "github.com/uber/cadence-idl/go/proto/api/v1"
	"go.uber.org/cadence/compatibility"
	"go.uber.org/zap"

	"github.com/uber/cadence/common"
	"github.com/uber/cadence/common/archiver"
	"github.com/uber/cadence/common/archiver/provider"
	"github.com/uber/cadence/common/asyncworkflow/queue"
	"github.com/uber/cadence/common/clock"
	"github.com/uber/cadence/common/cluster"
	"github.com/uber/cadence/common/config"
	"github.com/uber/cadence/common/dynamicconfig"
	"github.com/uber/cadence/common/dynamicconfig/configstore"
	"github.com/uber/cadence/common/dynamicconfig/dynamicproperties"
	"github.com/uber/cadence/common/log"
	"github.com/uber/cadence/common/membership"
	"github.com/uber/cadence/common/metrics"
	"github.com/uber/cadence/common/peerprovider/ringpopprovider"
	"github.com/uber/cadence/common/resource"
	"github.com/uber/cadence/common/rpc"
	"github.com/uber/cadence/common/service"
	"github.com/uber/cadence/service/frontend"
	"github.com/uber/cadence/service/history"
	"github.com/uber/cadence/service/matching"
	"github.com/uber/cadence/service/worker/diagnostics/invariant"
)

func newDaemon(name string, historyAt int, cfg *config.Config, dyn dynamicconfig.Client, zl *zap.Logger) (common.Daemon, error) {
	logger := log.NewLogger(zl.With(zap.String("service", name)))
	meter := metrics.NewClient(tally.NoopScope, service.GetMetricsServiceIdx(name, logger), metrics.MigrationConfig{})
	dc := dynamicconfig.NewCollection(dyn, logger, dynamicproperties.ClusterNameFilter(clusterName))
	svc, err := cfg.GetServiceConfig(name)
	if err != nil {
		return nil, err
	}
	group := cfg.ClusterGroupMetadata

	rpcParams, err := rpc.NewParams(name, cfg, dc, logger, meter)
	if err != nil {
		return nil, err
	}
	rpcParams.OutboundsBuilder = rpc.CombineOutbounds(
		rpcParams.OutboundsBuilder,
		rpc.NewCrossDCOutbounds(group.ClusterGroup, rpc.NewDNSPeerChooserFactory(0, logger)),
	)
	factory := rpc.NewFactory(logger, rpcParams)

	grpcPort := svc.RPC.GRPCPort
	if name == service.History && historyAt != 0 {
		grpcPort = uint16(historyAt)
	}
	peers, err := ringpopprovider.New(name, &cfg.Ringpop, factory.GetTChannel(), membership.PortMap{
		membership.PortTchannel: svc.RPC.Port,
		membership.PortGRPC:     grpcPort,
	}, logger)
	if err != nil {
		return nil, err
	}
	rings := map[string]membership.SingleProvider{}
	for _, ring := range service.ListWithRing {
		rings[ring] = membership.NewHashring(ring, peers, clock.NewRealTimeSource(), logger, meter.Scope(metrics.HashringScope))
	}
	resolver, err := membership.NewResolver(peers, meter, logger, rings)
	if err != nil {
		return nil, err
	}

	pub := factory.GetDispatcher().ClientConfig(rpc.OutboundPublicClient)
	queues, err := queue.NewAsyncQueueProvider(nil)
	if err != nil {
		return nil, err
	}
	persistence := cfg.Persistence
	persistence.TransactionSizeLimit = dc.GetIntProperty(dynamicproperties.TransactionSizeLimit)
	persistence.ErrorInjectionRate = dc.GetFloat64Property(dynamicproperties.PersistenceErrorInjectionRate)

	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	params := &resource.Params{
		Name:                     name,
		HostName:                 hostname,
		Logger:                   logger,
		ZapLogger:                zl,
		MetricScope:              tally.NoopScope,
		MetricsClient:            meter,
		DynamicConfig:            dyn,
		OperationalConfigStore:   configstore.NewNopClient(),
		PersistenceConfig:        persistence,
		RPCConfig:                svc.RPC,
		RPCFactory:               factory,
		HashRings:                rings,
		MembershipResolver:       resolver,
		PProfInitializer:         svc.PProf.NewInitializer(logger),
		ClusterRedirectionPolicy: group.ClusterRedirectionPolicy,
		ClusterMetadata: cluster.NewMetadata(*group,
			dc.GetBoolPropertyFilteredByDomain(dynamicproperties.UseNewInitialFailoverVersion), meter, logger),
		GetIsolationGroups: func() []string { return nil },
		PublicClient: compatibility.NewThrift2ProtoAdapter(
			apiv1.NewDomainAPIYARPCClient(pub), apiv1.NewWorkflowAPIYARPCClient(pub),
			apiv1.NewWorkerAPIYARPCClient(pub), apiv1.NewVisibilityAPIYARPCClient(pub)),
		ArchivalMetadata:           archiver.NewArchivalMetadata(dc, "disabled", false, "disabled", false, &cfg.DomainDefaults.Archival),
		ArchiverProvider:           provider.NewArchiverProvider(nil, nil),
		AsyncWorkflowQueueProvider: queues,
		DiagnosticsInvariants:      []invariant.Invariant{},
		PercentageOnboarded: membership.NewPercentageOnboarded(meter,
			dc.GetIntProperty(dynamicproperties.MatchingPercentageOnboardedToShardManager)),
	}
	switch name {
	case service.Frontend:
		return frontend.NewService(params)
	case service.History:
		return history.NewService(params)
	case service.Matching:
		return matching.NewService(params)
	}
	return nil, fmt.Errorf("no such service %q", name)
}
