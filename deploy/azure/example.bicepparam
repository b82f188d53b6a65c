// One region, for production. The two-region variant adds what is commented out.
using 'main.bicep'

param clusterIssuer = 'https://westeurope.oic.prod-aks.azure.com/00000000-0000-0000-0000-000000000000/00000000-0000-0000-0000-000000000000/'
param clusterNamespace = 'zekt'
param endpointSubnetId = '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/cluster/subnets/endpoints'
param dnsZoneIds = {
  servicebus: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.servicebus.windows.net'
  cosmos: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.documents.azure.com'
  blob: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net'
  keyVault: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net'
}
// param secondLocation = 'northeurope'
// param consistency = 'Strong'
// param secondEndpointSubnetId = '...'
// param secondDnsZoneIds = { ... }
