// The storage account of the payloads. They are sealed before they come here, and purged when they expire.
param name string
param location string
param isPaired bool
param principals object

var dataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var dataReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  // checkov:skip=CKV_AZURE_206:with one region the copies lie in its zones, with two in both regions
  name: name
  location: location
  kind: 'StorageV2'
  sku: {
    name: isPaired ? 'Standard_RAGZRS' : 'Standard_ZRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Deny'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
}

resource payloads 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: 'payloads'
  properties: {
    publicAccess: 'None'
  }
}

// The second line behind the hourly purge: extending an expiry modifies the blob, and no payload is kept longer than this.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-expired-payloads'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: [
                'payloads/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: 90
                }
              }
            }
          }
        }
      ]
    }
  }
}

// Every service stores, reads or purges. Provisioning looks whether the container is there.
resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for part in items(principals): {
  name: guid(payloads.id, part.value, part.key == 'provision' ? dataReader : dataContributor)
  scope: payloads
  properties: {
    principalId: part.value
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', part.key == 'provision' ? dataReader : dataContributor)
  }
}]

output id string = account.id
output url string = 'https://${account.name}.blob.${environment().suffixes.storage}'
