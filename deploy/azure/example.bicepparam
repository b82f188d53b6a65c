// One region, for production. A second region adds what is commented out at the end.
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
// Once the vault holds them: see README.md. oauth-client-secret is identity's, webhook-master-keys is for both, where you have them.
// param secretNames = {
//   ingress: ['webhook-secrets']
//   identity: ['github-app-private-key']
// }
// param secondLocation = 'northeurope'
// param secondBusPaired = true // from the second deployment of that region on: see README.md
// param consistency = 'Strong'
// param secondClusterIssuer = '...'
// param secondEndpointSubnetId = '...'
// param secondDnsZoneIds = { ... }
