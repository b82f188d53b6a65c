// What Zekt needs of Azure, in one resource group; README.md beside this file says how to deploy it.
metadata description = 'Service Bus, Cosmos DB, Blob Storage and Key Vault for Zekt, entered by workload identities alone.'

@description('What the names of the resources begin with. Names that are unique in the world end in a hash of the resource group.')
@minLength(3)
@maxLength(11)
param name string = 'zekt'

param location string = resourceGroup().location

@description('Where the second region is; empty for none. It needs the Premium tier of Service Bus.')
param secondLocation string = ''

@description('Say true once a deployment has made the second region: Azure refuses to change a bus that stands by.')
param secondBusPaired bool = false

@description('What Cosmos DB promises. Strong loses nothing with a region, and each write waits for both. Change it in a deployment of its own.')
@allowed([
  'Session'
  'Strong'
])
param consistency string = 'Session'

@description('Premium has private endpoints, its own capacity and the pairing of two regions; Standard is paid by use, and ends at about 1,000 operations a second and 256 KB a message.')
@allowed([
  'Standard'
  'Premium'
])
param servicebusTier string = 'Premium'

@description('The request units a second that the containers of Cosmos DB share and scale to; a tenth is paid for at least.')
@minValue(1000)
param maxRequestUnits int = 4000

@description('The issuer of the cluster\'s service account tokens: az aks show --query oidcIssuerProfile.issuerUrl')
param clusterIssuer string

@description('The same of the cluster in the second region.')
param secondClusterIssuer string = ''

@description('The namespace that the chart is installed into.')
param clusterNamespace string = 'zekt'

@description('What the chart names its parts by: {release}-zekt, or the release\'s name if that contains zekt.')
param chartFullname string = 'zekt'

@description('The namespace of KEDA\'s operator, which scales by what is waiting: kube-system for the add-on of AKS.')
param kedaNamespace string = 'keda'

@description('The service account of KEDA\'s operator.')
param kedaServiceAccount string = 'keda-operator'

@description('The secrets of the vault that each service may read, once they are there. Empty where the chart is given a Kubernetes secret.')
param secretNames object = {}

@description('The subnet of the private endpoints, which the cluster reaches. Nothing else does, but for a bus of the Standard tier, which has none.')
param endpointSubnetId string

@description('The private DNS zones that the subnet\'s network is linked to, by service: servicebus, cosmos, blob and keyVault.')
param dnsZoneIds object

@description('The same of the second region, where a cluster takes over.')
param secondEndpointSubnetId string = ''

@description('The same of the second region. Zones of its own, since a name leads to one address in each.')
param secondDnsZoneIds object = {}

@description('The Log Analytics workspace that is told who used the vault and the bus. Empty for none.')
param logWorkspaceId string = ''

var isPaired = !empty(secondLocation)
var issuers = empty(secondClusterIssuer) ? [
  clusterIssuer
] : [
  clusterIssuer
  secondClusterIssuer
]
var suffix = uniqueString(resourceGroup().id)
var parts = [
  'ingress'
  'identity'
  'router'
  'dispatcher'
  'provision'
]
var principals = {
  ingress: identities[0].outputs.principalId
  identity: identities[1].outputs.principalId
  router: identities[2].outputs.principalId
  dispatcher: identities[3].outputs.principalId
  provision: identities[4].outputs.principalId
}

module identities 'modules/identity.bicep' = [for part in parts: {
  name: 'identity-${part}'
  params: {
    name: '${name}-${part}'
    location: location
    issuers: issuers
    subject: 'system:serviceaccount:${clusterNamespace}:${chartFullname}-${part}'
  }
}]

module scaler 'modules/identity.bicep' = {
  name: 'identity-keda'
  params: {
    name: '${name}-keda'
    location: location
    issuers: issuers
    subject: 'system:serviceaccount:${kedaNamespace}:${kedaServiceAccount}'
  }
}

module servicebus 'modules/servicebus.bicep' = {
  name: 'servicebus'
  params: {
    name: '${name}-${suffix}'
    location: location
    secondLocation: secondLocation
    tier: servicebusTier
    topics: loadJsonContent('../servicebus/Config.json').UserConfig.Namespaces[0].Topics
    principals: principals
    scaler: scaler.outputs.principalId
    logWorkspaceId: logWorkspaceId
    secondBusPaired: secondBusPaired
  }
}

module cosmos 'modules/cosmos.bicep' = {
  name: 'cosmos'
  params: {
    name: '${name}-${suffix}'
    location: location
    secondLocation: secondLocation
    consistency: consistency
    containers: loadJsonContent('containers.json')
    maxRequestUnits: maxRequestUnits
    principals: principals
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: {
        tier: 'Continuous30Days'
      }
    }
  }
}

// A data key that was destroyed lives on in backups. Here they are two, made every four hours: what Azure keeps at least.
module cosmosKeys 'modules/cosmos.bicep' = {
  name: 'cosmos-keys'
  params: {
    name: '${name}-keys-${suffix}'
    location: location
    secondLocation: secondLocation
    consistency: consistency
    containers: loadJsonContent('keyContainers.json')
    maxRequestUnits: 1000
    principals: principals
    backupPolicy: {
      type: 'Periodic'
      periodicModeProperties: {
        backupIntervalInMinutes: 240
        backupRetentionIntervalInHours: 8
        backupStorageRedundancy: 'Zone'
      }
    }
  }
}

module blob 'modules/blob.bicep' = {
  name: 'blob'
  params: {
    name: '${take(replace(name, '-', ''), 11)}${suffix}'
    location: location
    isPaired: isPaired
    principals: principals
  }
}

module keyVault 'modules/keyVault.bicep' = {
  name: 'key-vault'
  params: {
    name: '${take(name, 10)}-${suffix}'
    location: location
    logWorkspaceId: logWorkspaceId
    principals: principals
    secretNames: secretNames
  }
}

var reached = [
  {
    name: 'cosmos'
    id: cosmos.outputs.id
    group: 'Sql'
    zone: 'cosmos'
  }
  {
    name: 'cosmos-keys'
    id: cosmosKeys.outputs.id
    group: 'Sql'
    zone: 'cosmos'
  }
  {
    name: 'blob'
    id: blob.outputs.id
    group: 'blob'
    zone: 'blob'
  }
  {
    name: 'key-vault'
    id: keyVault.outputs.id
    group: 'vault'
    zone: 'keyVault'
  }
]
var firstBus = {
  name: 'servicebus'
  id: servicebus.outputs.id
  group: 'namespace'
  zone: 'servicebus'
}
var secondBus = {
  name: 'servicebus'
  id: servicebus.outputs.secondId
  group: 'namespace'
  zone: 'servicebus'
}

module endpoints 'modules/privateEndpoints.bicep' = {
  name: 'private-endpoints'
  params: {
    name: name
    location: location
    subnetId: endpointSubnetId
    zoneIds: dnsZoneIds
    targets: servicebusTier == 'Premium' ? concat(reached, [
      firstBus
    ]) : reached
  }
}

// After the first ones: accounts refuse two that are made at a time.
module secondEndpoints 'modules/privateEndpoints.bicep' = if (isPaired) {
  name: 'private-endpoints-second'
  params: {
    name: '${name}-second'
    location: secondLocation
    subnetId: secondEndpointSubnetId
    zoneIds: secondDnsZoneIds
    targets: concat(reached, [
      secondBus
    ])
  }
  dependsOn: [
    endpoints
  ]
}

// Azure pairs a bus that has an endpoint with none that has not.
module pairing 'modules/servicebusPairing.bicep' = if (isPaired && !secondBusPaired) {
  name: 'servicebus-pairing'
  params: {
    namespace: servicebus.outputs.name
    secondId: servicebus.outputs.secondId
    alias: servicebus.outputs.alias
  }
  dependsOn: [
    secondEndpoints
  ]
}

@description('What the chart is to be given: save it as a values file.')
output values object = {
  backend: 'azure'
  azure: {
    servicebusNamespace: servicebus.outputs.hostName
    cosmosEndpoint: cosmos.outputs.endpoint
    cosmosKeysEndpoint: cosmosKeys.outputs.endpoint
    cosmosDatabase: cosmos.outputs.database
    blobUrl: blob.outputs.url
    keyVaultUrl: keyVault.outputs.keyUrl
  }
  services: {
    ingress: {
      clientId: identities[0].outputs.clientId
    }
    identity: {
      clientId: identities[1].outputs.clientId
    }
    router: {
      clientId: identities[2].outputs.clientId
    }
    dispatcher: {
      clientId: identities[3].outputs.clientId
    }
  }
  provision: {
    clientId: identities[4].outputs.clientId
  }
  entra: {
    tenantId: tenant().tenantId
  }
  keda: {
    clientId: scaler.outputs.clientId
  }
  secrets: {
    keyVault: {
      name: empty(secretNames) ? '' : keyVault.outputs.name
    }
  }
}
